from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.orchestrator.pool import Pool
from weft.programs import run
from weft.search import TreePO
from weft.search.step_search.frontier import Move, Path
from weft.search.step_search.segments.treepo import TreePOFrontier, effective, repeats
from weft.search.strategy import stable_seed


def grow(move: Move) -> str:
    return random.Random(f"{move.path.text} {move.index}").choice("abc!")


def ends(text: str) -> bool:
    return text.endswith("!") or len(text) == 6


def tree(driver) -> Counter[tuple[str, int, int]]:
    return Counter((m.path.text, m.index, m.order) for m in driver.made)


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 10**6))
def test_there_are_n_leaves_in_whatever_order_segments_land(
    drive, root, n: int, roots: int, seed: int
) -> None:
    settings = TreePO(n=n, roots=roots)
    frontier = TreePOFrontier(root, settings, seed)
    driver = drive(grow, lambda text: 0.5, ends)
    driver(frontier, seed)
    assert len(frontier.leaves) == n
    again = drive(grow, lambda text: 0.5, ends)
    again(TreePOFrontier(root, settings, seed), seed + 1)
    assert tree(again) == tree(driver)
    # Each round has twice as many branches as the one before had paths, if so many are missing.
    widths = Counter(m.order for m in driver.made)
    for order, width in widths.items():
        done = sum(leaf.order < order for leaf in frontier.leaves)
        wanted = 2 * widths[order - 1] if order else roots
        assert width == min(n - done, wanted)


def test_the_remainder_goes_to_the_last(drive, root) -> None:
    frontier = TreePOFrontier(root, TreePO(n=5, roots=2), 0)
    driver = drive(lambda m: "ab"[m.index % 2], lambda t: 0.5, lambda t: len(t) == 3)
    driver(frontier)
    # 2 paths, 4 branches, 5 branches: of four paths the last one gets two.
    assert [n for _, n in sorted(Counter(m.order for m in driver.made).items())] == [2, 4, 5]
    third = Counter(m.path.text for m in driver.made if m.order == 2)
    assert sorted(third.values()) == [1, 1, 1, 2]
    assert third[max((t for t in third), key=lambda t: (stable_seed("tie", t), t))] == 2


def test_by_probability_the_likelier_path_gets_more(root) -> None:
    frontier = TreePOFrontier(root, TreePO(n=10, roots=2, split="probability"), 0)
    frontier._rounds[0].width = 2
    paths = [
        Path(root.prompt, text, 1, root, 0, confidence=type(root.confidence)(total, 1))
        for text, total in (("a", -0.1), ("b", -3.0))
    ]
    moves = [m for path in paths for m in frontier.on_landed(path)]
    # Two of four are certain; the others are shared as 0.905 to 0.05.
    assert Counter(m.path.text for m in moves) == {"a": 3, "b": 1}


def test_a_leaf_is_distributed_as_a_sample(drive, root) -> None:
    chance = random.Random(5)
    found: Counter[str] = Counter()
    for _ in range(1500):
        frontier = TreePOFrontier(root, TreePO(n=4), 0)
        drive(lambda m: chance.choice("aab"), lambda t: 0.5, lambda t: len(t) == 3)(frontier)
        found += Counter(leaf.text for leaf in frontier.leaves)
    for text in ("aaa", "aba", "abb", "bbb"):
        expected = (2 / 3) ** text.count("a") * (1 / 3) ** text.count("b")
        assert found[text] / found.total() == pytest.approx(expected, abs=0.02)


def test_lost_segments_leave_the_others(drive, root) -> None:
    frontier = TreePOFrontier(root, TreePO(n=6), 0)
    driver = drive(grow, lambda t: 0.5, ends, fails=lambda m: m.index == 1)
    driver(frontier, 3)
    assert 0 < len(frontier.leaves) <= 6
    nothing = TreePOFrontier(root, TreePO(n=6), 0)
    drive(grow, lambda t: 0.5, ends, fails=lambda m: True)(nothing)
    assert not nothing.leaves


def test_repetition_ends_a_path() -> None:
    assert not repeats("and so on, " * 20)  # some 32 characters, but not 8 times apart
    assert repeats("abcdefghijklmnopqrstuvwxyz012345" * 8)
    assert not repeats("abcdefghijklmnopqrstuvwxyz012345" * 7)


def test_effective_samples_by_hand(root) -> None:
    trunk = Path(root.prompt, "a", 1, root, tokens=10)
    leaves = [Path(root.prompt, t, 2, trunk, tokens=20) for t in "bc"]
    # Half of either is shared: two samples with correlation 1/2 are worth 2 / 1.5.
    assert effective(leaves) == pytest.approx(4 / 3)
    assert effective([leaves[0]] * 3) == pytest.approx(1)
    alone = [Path(root.prompt, t, 1, root, tokens=20) for t in "bc"]
    assert effective(alone) == pytest.approx(2)
    assert effective([]) == 0


async def test_what_is_shared_is_generated_once(question, player) -> None:
    async with Pool(engine := player()) as pool:
        done = await run(TreePO(n=8, every=3), question, pool=pool)
    details = done.value.details
    assert details["finished"] == 8
    assert details["generated"] == done.usage.completion
    assert details["shared"] > 0
    assert sum(details["votes"].values()) + details["unparsable"] == 8
    assert 1 <= details["effective"] <= 8
    # Segments of three tokens, and the last of an answer to its end.
    segments = [r.sampling.max_tokens for r in engine.requests]
    assert max(m for m in segments if m is not None) > 3
    assert segments.count(3) > 8
