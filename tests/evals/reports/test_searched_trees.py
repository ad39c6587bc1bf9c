"""What a report says of the texts behind the answers: their trees, and what tokens went to."""

import re
from dataclasses import replace
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.evals.records import Row
from weft.evals.records.kept_text import KeptText
from weft.evals.reports.plot import frontier
from weft.evals.reports.purposes import Purposes, purposes
from weft.evals.reports.searched_tree import SearchedTrees, is_tree, svg
from weft.evals.results import Result
from weft.types import Usage

STEP = KeptText("a <step>", tokens=10, prompt=20, cached=15, score=0.25)


def row(*texts: KeptText, chosen: int | None = 0, computed: int = 0, **more) -> Row:
    usage = Usage(prompt=computed)
    return Row("beam", "7", True, texts=list(texts), chosen=chosen, usage=usage, **more)


def test_tokens_by_purpose_add_up_to_what_was_computed() -> None:
    texts = [
        STEP,
        replace(STEP, after=0),
        replace(STEP, after=0, whole=False),
        replace(STEP, asked="Which is better?"),
        STEP,
    ]
    got = purposes(row(*texts, chosen=1, computed=100, details={"in_vain_tokens": 4}))
    assert got == {
        "kept": 30, "discarded": 15, "cancelled": 15, "verifying": 40, "speculative": 4,
    }  # fmt: skip


def test_what_asks_something_else_and_leads_to_the_answer_is_kept() -> None:
    texts = [replace(STEP, asked="Plan!"), replace(STEP, after=0)]
    assert purposes(row(*texts, chosen=1, computed=30))["kept"] == 30


def test_the_table_is_of_means_and_is_left_out_where_all_is_kept() -> None:
    spent = Purposes()
    spent.add(row(STEP, computed=15))
    assert not spent.section().rows
    spent.add(row(STEP, STEP, computed=45))
    spent.add(row(computed=0, chosen=None))
    section = spent.section()
    assert section.rows == [["beam", "10", "5", "0", "5"]]
    assert "speculative" not in section.columns


def test_a_row_that_failed_counts_in_no_mean() -> None:
    spent = Purposes()
    spent.add(replace(row(STEP, STEP), correct=None, error="lost"))
    assert not spent.tokens


def test_votes_and_chains_are_no_trees() -> None:
    assert not is_tree(row(STEP, STEP, STEP))
    assert not is_tree(row(STEP, replace(STEP, after=0), replace(STEP, after=1)))
    assert is_tree(row(STEP, replace(STEP, after=0), replace(STEP, after=0)))
    assert is_tree(row(STEP, STEP, replace(STEP, after=0), replace(STEP, after=2)))


def test_trees_are_of_one_problem() -> None:
    trees = SearchedTrees()
    tree = row(STEP, replace(STEP, after=0), replace(STEP, after=0))
    for one in (row(STEP), tree, replace(tree, id="8"), replace(tree, strategy="mcts", id="8"),
                replace(tree, strategy="mcts")):  # fmt: skip
        trees.add(one)
    assert trees.problem == "7"
    assert list(trees.rows) == ["beam", "mcts"]


def is_bold(node: ElementTree.Element) -> bool:
    text = node.find("text")
    return text is not None and "700" in text.attrib["style"]


def test_a_tree_as_drawn() -> None:
    tree = row(
        STEP, replace(STEP, after=0, score=1.0), replace(STEP, after=0, whole=False), chosen=1
    )
    drawn = ElementTree.fromstring(svg(tree))
    nodes = drawn.findall("g")
    assert len(nodes) == 3
    assert len(drawn.findall("path")) == 3
    told = ["".join(node.itertext()) for node in nodes]
    assert all("a <step>" in text for text in told)
    bold = [is_bold(node) for node in nodes]
    assert sorted(
        zip(["1.00" in t for t in told], ["broken off" in t for t in told], bold, strict=False)
    ) == [
        (False, False, True),
        (False, True, False),
        (True, False, True),
    ]


@settings(max_examples=40)
@given(st.lists(st.integers(-1, 400), max_size=400), st.integers(0, 399))
def test_every_tree_can_be_drawn_and_keeps_its_answer(after: list[int], chosen: int) -> None:
    texts = [
        replace(STEP, text=str(i), after=a if 0 <= a < i else None) for i, a in enumerate(after)
    ]
    tree = row(*texts, chosen=chosen)
    drawn = ElementTree.fromstring(svg(tree))
    kept = [g for g in drawn.findall("g") if is_bold(g)]
    path, at = set(), chosen if chosen < len(texts) else None
    while at is not None:
        path.add(str(at))
        at = texts[at].after
    assert {re.findall(r"\d+", "".join(g.itertext()))[0] for g in kept} == path
    places = [(c.attrib["cx"], c.attrib["cy"]) for c in drawn.findall("g/circle")]
    assert len(set(places)) == len(places) == min(len(texts), len(places))


def test_the_frontier() -> None:
    def result(name: str, tokens: int, right: int) -> Result:
        rows = [Row(name, str(i), i < right, usage=Usage(prompt=tokens)) for i in range(4)]
        return Result(name, tuple(rows))

    shown = [result("d", 40, 3), result("a", 10, 1), result("b", 20, 3), result("c", 30, 2),
             result("e", 50, 4), result("f", 10, 0), Result("none", ())]  # fmt: skip
    assert [r.strategy for r in frontier(shown)] == ["a", "b", "e"]
