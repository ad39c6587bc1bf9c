from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

from weft.evals.records import Row, Session, Settings
from weft.evals.reports.plot import svg
from weft.evals.reports.report import html
from weft.evals.results import gather
from weft.types import Usage

SESSION = Session(["http://127.0.0.1:1"], {"greedy": 2.0}, "weft eval run <countdown>", "0")


def rows(spec: str, right: int, n: int, tokens: int) -> list[Row]:
    usage = Usage(2, 30, 10, tokens, tokens // 4)
    return [
        Row(spec, str(i), i < right, "1 + 2", 0.5, {"samples": 4, "unparsable": 1}, usage, 0.5)
        for i in range(n)
    ]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe")
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_self_contained_and_says_what_was_run() -> None:
    parts = [
        *rows("greedy", 10, 20, 50),
        *rows("best_of_n(n=16, verifier=model)", 18, 20, 800),
        *rows("astar(k=4)", 18, 20, 300),
        Row("greedy", "x", None, error="it broke"),
    ]
    text = html(gather(Settings("countdown", "", "<m>", 7), SESSION, parts))
    page = Page(text)
    assert all(link.startswith("#") for link in page.links)
    assert "url(http" not in text
    assert "@import" not in text
    assert "best_of_n(n=16, verifier=model)" in page.text
    assert "weft eval run <countdown>" in page.text
    assert "<m>" in page.text
    assert "Samples with errors" in page.text
    assert "Does A* reach best-of-n" in page.text
    assert "50.0 [29.9, 70.1]" in page.text
    assert "Against greedy" in page.text
    assert "100.0 ± 0.0" not in page.text


def test_thinking_has_a_column_where_there_is_any() -> None:
    plain = rows("greedy", 10, 20, 50)
    thought = [
        replace(r, strategy="majority(n=4)", usage=replace(r.usage, reasoning=33)) for r in plain
    ]
    heads = []
    for parts in (plain, [*plain, *thought]):
        found = gather(Settings("countdown", "", "m", 7), SESSION, parts)
        table = html(found).partition("<h2>Results</h2>")[2].partition("</table>")[0]
        lines = [re.findall(r"<t[hd]>(.*?)</t[hd]>", line) for line in table.split("<tr>")[1:]]
        assert len({len(line) for line in lines}) == 1
        heads.append([line[lines[0].index("thinking")] for line in lines if "thinking" in lines[0]])
        assert found.json()["results"][-1]["tokens"]["reasoning"] == 20 * 33 * (parts is not plain)
    assert heads == [[], ["thinking", "", "33"]]


def test_the_plot_is_well_formed_and_follows_the_page() -> None:
    specs = ["greedy", "majority(n=4)", "majority(n=16)"]
    results = gather(
        Settings("t", "", "m", 0),
        SESSION,
        [r for i, s in enumerate(specs) for r in rows(s, 10, 20, 50 * 4**i)],
    ).results
    text = svg(results)
    root = ET.fromstring(text)
    assert root.get("viewBox")
    assert root.get("width") is None
    assert "var(--ink)" in text
    for label in ("greedy", "majority n=4", "majority n=16"):
        assert f">{label}<" in text
    assert not re.search(r"#0a0b0c|#000000", text)


def test_a_page_of_one_strategy_and_of_none() -> None:
    settings = Settings("t", "", "m", 0)
    assert "no two strategies" in html(gather(settings, SESSION, rows("greedy", 5, 5, 9)))
    zero = [Row("greedy", "1", False, usage=Usage())]
    assert "<svg" in html(gather(settings, SESSION, zero))
    assert "No sample has finished" in html(gather(settings, Session(), []))
