from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.search.step_search.beam import BeamFrontier
from weft.search.step_search.frontier import Move
from weft.search.strategy import stable_seed

DEPTH = 4


def grow(move: Move) -> str:
    """A few different steps, so that twins happen."""
    return "abc"[stable_seed("grow", move.path.text, move.index) % 3]


def judge(text: str) -> float:
    """Coarse, so that ties happen."""
    return stable_seed("judge", text) % 5 / 4


def ends(text: str) -> bool:
    return len(text) == DEPTH or stable_seed("ends", text) % 4 == 0


def by_rounds(n: int, width: int, unique: bool, root, score=judge, stop=ends):
    """Beam search with a barrier after each round, as it is usually written."""
    made: Counter[tuple[str, int]] = Counter()
    finished: Counter[str] = Counter()
    used: Counter[str] = Counter()
    beams = [""] * n
    while beams:
        children: list[str] = []
        for text in beams:
            index, used[text] = used[text], used[text] + 1
            made[text, index] += 1
            path = type(root)(root.prompt, text)
            children.append(text + grow(Move(path, index)))
        finished.update(t for t in children if stop(t))
        live = [t for t in children if not stop(t)]
        if unique:
            live = list(dict.fromkeys(live))
        live.sort(key=lambda t: (-score(t), stable_seed("tie", t), t))
        kept = live[: n // width]
        beams = [kept[i % len(kept)] for i in range(n)] if kept else []
    return made, finished


@given(
    st.sampled_from([(1, 1), (4, 1), (4, 2), (4, 4), (8, 4), (6, 2)]),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_without_a_barrier_the_result_is_the_same(
    drive, root, shape: tuple[int, int], unique: bool, seed: int
) -> None:
    n, width = shape
    frontier = BeamFrontier(root, n, width, unique=unique)
    driver = drive(grow, judge, ends)
    driver(frontier, seed)
    made, finished = by_rounds(n, width, unique, root)
    assert Counter((m.path.text, m.index) for m in driver.made) == made
    assert Counter(p.text for p in frontier.finished) == finished
    # The number of beams never changes.
    assert {len(r) for r in frontier.rounds} == {n}


def test_a_sure_path_does_not_wait(root) -> None:
    """Two of four beams are kept: the best goes on while the last is still to come."""
    frontier = BeamFrontier(root, 4, 2)
    scores = {"b": 0.5, "a": 0.9, "d": 0.1}
    assert len(frontier.begin()) == 4
    born = []
    for text in scores:
        path = type(root)(root.prompt, text, 1, root, score=scores[text])
        born.append([m.path.text for m in frontier.on_landed(path)])
    # After three have landed, one place is sure; the other may still be taken.
    assert born == [[], [], ["a", "a"]]
    last = type(root)(root.prompt, "c", 1, root, score=0.7)
    assert [m.path.text for m in frontier.on_landed(last)] == ["c", "c"]


def test_paths_of_different_rounds_run_together(drive, root) -> None:
    driver = drive(lambda m: f"{m.index}", lambda t: 0.5, lambda t: len(t) == 4)
    driver(BeamFrontier(root, 8, 2), seed=3)
    depths = [p.depth for p in driver.landed]
    assert depths != sorted(depths)


def test_n_equal_to_width_is_greedy_by_score(drive, root) -> None:
    frontier = BeamFrontier(root, 3, 3)
    driver = drive(lambda m: "abc"[m.index % 3], judge, lambda t: len(t) == DEPTH)
    driver(frontier, seed=5)
    path = ""
    for _ in range(DEPTH - 1):
        path = min((path + c for c in "abc"), key=lambda t: (-judge(t), stable_seed("tie", t), t))
    assert {p.text for p in frontier.finished} == {path + c for c in "abc"}


def test_width_1_is_n_independent_samples(drive, root) -> None:
    """Nothing is ever dropped, so what the scores are does not matter."""
    n, rng = 4, random.Random(1)
    names: dict[tuple[str, int], str] = {}

    def fresh(move: Move) -> str:
        return names.setdefault((move.path.text, move.index), rng.choice("abcdefgh"))

    found = []
    for score in (judge, lambda t: 0.5):
        frontier = BeamFrontier(root, n, 1, unique=False)
        drive(fresh, score, lambda t: len(t) == DEPTH)(frontier)
        found.append(sorted(p.text for p in frontier.finished))
    assert found[0] == found[1]
    assert len(found[0]) == n


def test_finished_paths_leave_and_the_others_fill_their_places(drive, root) -> None:
    texts = iter(["a", "b!", "c!", "d!"])
    driver = drive(
        lambda m: next(texts) if not m.path.text else f"{m.index}!",
        lambda t: 0.5,
        lambda t: t.endswith("!"),
    )
    frontier = BeamFrontier(root, 4, 2)
    driver(frontier)
    assert Counter(p.depth for p in frontier.finished) == {1: 3, 2: 4}
    assert sorted(m.index for m in driver.made if m.path.text) == [0, 1, 2, 3]


@pytest.mark.parametrize("unique", [True, False])
def test_twins(drive, root, unique: bool) -> None:
    """The same step twice takes one place or two."""
    texts = iter(["a", "a", "b", "b"])
    driver = drive(
        lambda m: next(texts) if not m.path.text else f"{m.index}",
        lambda t: 0.9 if t[0] == "a" else 0.1,
        lambda t: len(t) == 2,
    )
    frontier = BeamFrontier(root, 4, 2, unique=unique)
    driver(frontier)
    second = Counter(p.text[0] for p in frontier.rounds[1])
    assert second == ({"a": 2, "b": 2} if unique else {"a": 4})
