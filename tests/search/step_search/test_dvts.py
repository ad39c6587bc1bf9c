from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.search import Dvts
from weft.search.step_search.beam import BeamFrontier
from weft.search.step_search.dvts import DvtsFrontier
from weft.search.step_search.frontier import Move
from weft.search.strategy import stable_seed


def grow(move: Move) -> str:
    return random.Random(f"{move.path.text} {move.index}").choice("abc!")


def judge(text: str) -> float:
    return stable_seed("judge", text) % 1000 / 999


def ends(text: str) -> bool:
    return text.endswith("!") or len(text) == 6


def test_subtrees_keep_their_own_beginnings(drive, root) -> None:
    """Where a verifier favours one beginning, beam search has only this one left."""

    def numbered(move: Move) -> str:
        return f"{move.index:02} "

    def favours(text: str) -> float:
        return 0.9 if text.startswith("03") else 0.2

    beam = BeamFrontier(root, 8, 2)
    drive(numbered, favours, lambda t: len(t) == 9)(beam)
    apart = DvtsFrontier(root, 4, 2)
    drive(numbered, favours, lambda t: len(t) == 9)(apart)
    assert {p.text[:2] for p in beam.finished if (p.score or 0) > 0.5} == {"03"}
    assert len({p.text[:2] for p in beam.rounds[2]}) < 4
    assert len({p.text[:2] for p in apart.finished}) == 4
    assert len(apart.finished) == 8  # the last continuations of all subtrees
    assert apart.steps == 8 * 3


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6))
def test_each_subtree_is_greedy(drive, root, subtrees: int, width: int, seed: int) -> None:
    frontier = DvtsFrontier(root, subtrees, width)
    driver = drive(grow, judge, ends)
    driver(frontier, seed)
    for subtree in range(subtrees):
        at = root
        while True:
            landed = [p for p in driver.landed if p.order == subtree and p.parent is at]
            assert len(landed) == width
            at = min(landed, key=lambda p: (-(p.score or 0), p.tie))
            if at.finished:
                break
        answers = [p for p in frontier.finished if p.order == subtree]
        assert set(answers) == {p for p in landed if p.finished}
        assert at in answers


def test_a_failed_step_leaves_the_others_to_choose_from(drive, root) -> None:
    frontier = DvtsFrontier(root, 1, 2)
    lost, other = frontier.begin()
    assert frontier.on_failed(lost) == ()
    path = type(root)(root.prompt, "a", 1, root, other.order, score=0.1)
    assert [m.path for m in frontier.on_landed(path)] == [path, path]
    first, second = frontier._go_on(0, path)
    assert frontier.on_failed(first) == frontier.on_failed(second) == ()


def test_width_must_divide_n() -> None:
    with pytest.raises(UsageError, match="n=6 of dvts must be a multiple of width=4; try n=8"):
        Dvts(n=6)
