"""The page of a run: what it holds, and in a real browser, where there is one."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest

from weft import (
    Pool,
    Prompt,
    Run,
    ScriptedEngine,
    fan_out,
    generate,
    node,
    program,
    run,
    run_sync,
    waiting,
)
from weft.errors import ConfigError
from weft.programs.figures.page import page, write_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "</script><img src=x onerror=alert(1)>"


@node
async def attempt(text: str) -> str:
    return (await generate(Prompt.system("Solve.").user(text))).text


@program
async def solve() -> str:
    async with fan_out(attempt, [EVIL, "b", "c"]) as answers:
        found = [answer async for answer in answers]
    async with waiting("pytest"):
        pass
    return (await generate(Prompt.user("Which?").user(found[0]))).text


def ran() -> Run[str]:
    async def main() -> Run[str]:
        async with Pool(ScriptedEngine("an answer", name="left")) as pool:
            return await run(solve, pool=pool)

    return anyio.run(main)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="run">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_it_holds_all_there_is_to_know() -> None:
    done = ran()
    text = done.page()
    data = data_of(text)
    assert data["title"] == "solve"
    assert dict(data["usage"])["calls"] == 4
    assert data["texts"].count("Solve.") == 1  # of three prompts
    calls = [p for p in data["spans"].values() if p["kind"] == "call"]
    assert {p["engine"] for p in calls} == {"left"}
    assert all(p["reason"] and p["timing"][2] > 0 for p in calls)
    first = calls[0]
    assert [data["texts"][i] for _, i in first["turns"]] == ["Solve.", EVIL]
    assert data["texts"][first["answer"]] == "an answer"
    tools = [p["name"] for p in data["spans"].values() if p["kind"] == "tool"]
    assert tools == ["pytest"]
    (top,) = data["top"]
    rows = data["inside"][top["members"][0]]
    assert [row["title"] for row in rows] == ["attempt x 3", "pytest", "generate (solver)"]
    assert len(rows[0]["members"]) == 3
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)  # it loads nothing
    assert EVIL not in text


def test_names_may_be_any_text() -> None:
    names = ["__RUN__", "__GRAPH__", "\ud800"]

    async def named() -> None:
        for name in names:
            async with waiting(name):
                pass

    text = run_sync(named, pool=ScriptedEngine("ok")).page()
    assert [p["name"] for p in data_of(text)["spans"].values()] == names
    assert text.encode()


def test_a_very_long_text_is_cut() -> None:
    done = ran()
    call = next(span for span in done.spans.values() if span.kind == "call")
    call.turns = (("user", "x" * 30_000),)
    assert "10,000 letters more" in done.page()
    assert data_of(page({}))["spans"] == {}


def test_where_it_can_not_be_written(tmp_path: Path) -> None:
    write_page(tmp_path / "run.html", {})
    with pytest.raises(ConfigError, match="can't write"):
        write_page(tmp_path / "none" / "run.html", {})


@pytest.mark.skipif(BROWSER is None, reason="Chromium is missing: install chromium")
def test_in_a_browser(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    path = tmp_path / "run.html"
    write_page(path, ran().spans)
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1000, "height": 900})
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(path.as_uri())
        names = shown.locator("#rows .what").all_inner_texts()
        assert [name.split("\n")[0] for name in names] == [
            "solve", "attempt x 3", "pytest", "generate (solver)",
        ]  # fmt: skip
        shown.get_by_label("Show what lies in attempt x 3").click()
        shown.get_by_label("Show what lies in attempt 1").click()
        shown.locator("#rows button.what", has_text="generate (solver)").first.click()
        said = shown.locator("dialog").inner_text()
        assert EVIL in said
        assert "an answer" in said
        shown.get_by_text("(attempt)").click()
        assert "done" in shown.locator("dialog").inner_text()
        shown.get_by_text("Close").click()
        assert not shown.locator("dialog").is_visible()
        assert shown.locator("svg.weft-graph rect").count() == 5
        browser.close()
    assert complaints == []
