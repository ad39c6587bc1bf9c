from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.search.step_search.frontier import Move
from weft.search.step_search.rebase import RebaseFrontier, shares
from weft.search.strategy import stable_seed

scores = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(lambda s: sorted(s, reverse=True))


@given(st.integers(0, 64), scores, st.floats(1e-6, 1e6) | st.just(math.inf))
def test_shares_always_add_up(width: int, ranked: list[float], tau: float) -> None:
    found = shares(width, ranked, tau)
    assert sum(found) == width
    assert min(found) >= 0


@given(st.integers(1, 8), st.integers(1, 12), st.floats(1e-3, 10))
def test_whole_shares_are_not_rounded_up(each: int, paths: int, tau: float) -> None:
    assert shares(each * paths, [0.3] * paths, tau) == [each] * paths


def test_shares_by_hand() -> None:
    # e^0, e^-2 and e^-4: 16 of 1.1537 give 13.87 to the first; 2 of 0.1537 give 1.76.
    assert shares(16, [0.9, 0.5, 0.1], 0.2) == [14, 2, 0]
    assert shares(8, [0.9, 0.5, 0.1], math.inf) == [3, 3, 2]
    assert shares(8, [0.9, 0.5, 0.1], 1e-9) == [8, 0, 0]


def grow(move: Move) -> str:
    return random.Random(f"{move.path.text} {move.index}").choice("abc!")


def judge(text: str) -> float:
    return stable_seed("judge", text) % 100 / 99


def ends(text: str) -> bool:
    return text.endswith("!") or len(text) == 6


@given(st.integers(1, 12), st.floats(0.01, 10), st.integers(0, 10**6))
def test_each_round_is_as_wide_as_answers_are_missing(
    drive, root, n: int, tau: float, seed: int
) -> None:
    frontier = RebaseFrontier(root, n, tau)
    driver = drive(grow, judge, ends)
    driver(frontier, seed)
    for depth, width in enumerate(frontier.widths):
        done = [p for p in frontier.finished if p.depth <= depth]
        assert width == n - len(done) == sum(m.path.depth == depth for m in driver.made)
    assert len(frontier.finished) == n
    assert frontier.steps == sum(frontier.widths)
    # The order in which paths land does not matter.
    again = RebaseFrontier(root, n, tau)
    drive(grow, judge, ends)(again, seed + 1)
    assert sorted(p.text for p in again.finished) == sorted(p.text for p in frontier.finished)


def test_each_path_gets_its_share(drive, root) -> None:
    marks = {"a": 0.9, "b": 0.5, "c": 0.1}
    frontier = RebaseFrontier(root, 3, 0.5)
    driver = drive(lambda m: "abc"[m.index % 3], lambda t: marks[t[0]], lambda t: len(t) == 2)
    driver(frontier, seed=0)
    # Shares of e^0, e^-0.8 and e^-1.6: 3 of 1.651 give 1.82, and 1 of 0.651 gives 0.69.
    assert [m.path.text for m in driver.made] == ["", "", "", "a", "a", "b"]


def test_what_failed_is_shared_out_again(root, drive) -> None:
    frontier = RebaseFrontier(root, 4, 0.2)
    lost, *moves = frontier.begin()
    assert frontier.on_failed(lost) == ()
    driver = drive(lambda m: "a", lambda t: 0.5, lambda t: False)
    landed = [type(root)(root.prompt, f"a{m.index}", 1, root, score=0.5) for m in moves]
    assert [frontier.on_landed(path) for path in landed[:-1]] == [(), ()]
    assert len(frontier.on_landed(landed[-1])) == 4
    assert not driver.made


@pytest.mark.parametrize("tau", [1e-9, math.inf])
def test_extremes_of_tau(drive, root, tau: float) -> None:
    """At 0 only the best path goes on, at infinity all do."""
    frontier = RebaseFrontier(root, 4, tau)
    driver = drive(
        lambda m: "abcd"[m.index], lambda t: "abcd".find(t[-1]) / 3, lambda t: len(t) > 2
    )
    driver(frontier)
    second = {m.path.text for m in driver.made if m.path.depth == 1}
    assert second == ({"d"} if tau < 1 else set("abcd"))
