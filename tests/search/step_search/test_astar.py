from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.search import AStar
from weft.search.step_search.astar import AStarFrontier
from weft.search.step_search.beam import BeamFrontier
from weft.search.step_search.frontier import Move
from weft.search.strategy import stable_seed

DEPTH, K = 4, 3


def grow(move: Move) -> str:
    return "abcd"[stable_seed("grow", move.path.text, move.index) % 4]


def ends(text: str) -> bool:
    return len(text) == DEPTH


def tree(seed: int, levels: int) -> Callable[[str], float]:
    """Random scores; with few levels there are many ties."""
    return lambda text: stable_seed(seed, text) % (levels + 1) / levels


def by_heap(
    root, judge: Callable[[str], float], cost: str, heuristic: str, solutions: int = 1
) -> tuple[list[str], list[str]]:
    """A* as textbooks have it: the texts extended, and the goals, in order."""

    def h_of(text: str) -> float:
        return 1 - judge(text) if heuristic == "linear" else -math.log(max(judge(text), 1e-7))

    extended: list[str] = []
    goals: list[str] = []
    heap: list = []
    at = ("", 0.0, None)
    while True:
        text, g, h = at
        extended.append(text)
        path = type(root)(root.prompt, text)
        for child in dict.fromkeys(text + grow(Move(path, i)) for i in range(K)):
            new = h_of(child)
            step = 0.0 if h is None else new - h if cost == "rise" else h - new
            total = g + max(0.0, step)
            key = (round(total + new, 9), round(new, 9), -len(child), stable_seed("tie", child))
            heapq.heappush(heap, (key, child, total, new))
        while heap:
            _, child, total, new = heapq.heappop(heap)
            if not ends(child):
                at = (child, total, new)
                break
            goals.append(child)
            if len(goals) == solutions:
                return extended, goals
        else:
            return extended, goals


settings = st.fixed_dictionaries(
    {
        "cost": st.sampled_from(["rise", "fall"]),
        "heuristic": st.sampled_from(["linear", "log"]),
        "solutions": st.integers(1, 3),
    }
)


@given(settings, st.integers(0, 10**6), st.sampled_from([4, 64]))
def test_order_is_that_of_a_heap(drive, root, given, seed: int, levels: int) -> None:
    """Scores are binary fractions, or nearly so: rounding must not decide between ties."""
    judge = tree(seed, levels)
    if given["heuristic"] == "log":  # powers of e would tie by rounding only
        judge = tree(seed, 10007)
    frontier = AStarFrontier(root, AStar(k=K, expansions=1000, **given))
    driver = drive(grow, judge, ends)
    driver(frontier, seed)
    extended, goals = by_heap(root, judge, **given)
    assert list(dict.fromkeys(m.path.text for m in driver.made)) == extended
    assert [p.text for p in frontier.solutions] == goals
    assert frontier.expansions == len(extended)


@pytest.mark.parametrize("cost", ["rise", "fall"])
@pytest.mark.parametrize("heuristic", ["linear", "log"])
def test_perfect_scores_extend_the_goals_path_only(drive, root, cost: str, heuristic: str) -> None:
    frontier = AStarFrontier(root, AStar(k=4, cost=cost, heuristic=heuristic))
    goal = "dbca"
    driver = drive(lambda m: "abcd"[m.index], lambda t: float(goal.startswith(t)), ends)
    driver(frontier, seed=1)
    assert [p.text for p in frontier.solutions] == [goal]
    assert frontier.expansions == len(goal)
    assert {m.path.text for m in driver.made} == {"", "d", "db", "dbc"}
    # The goal can't be beaten once it is there, so the last siblings may be cancelled.
    assert frontier.steps <= 4 * len(goal)


@pytest.mark.parametrize("cost", ["rise", "fall"])
def test_constant_scores_go_deep_first(drive, root, cost: str) -> None:
    frontier = AStarFrontier(root, AStar(k=3, cost=cost, solutions=2))
    driver = drive(lambda m: "abc"[m.index], lambda t: 0.5, ends)
    driver(frontier, seed=2)
    depths = [m.path.depth for m in driver.made][::3]
    assert depths == [0, 1, 2, 3]
    first, second = (p.text for p in frontier.solutions)
    assert first[:-1] == second[:-1]


@given(st.integers(0, 10**6))
def test_with_cost_fall_f_never_falls(drive, root, seed: int) -> None:
    frontier = AStarFrontier(root, AStar(k=K, cost="fall", solutions=5))
    drive(grow, tree(seed, 10007), ends)(frontier, seed)
    h = {m: 1 - tree(seed, 10007)(m) for p in frontier.solutions for m in _prefixes(p.text)}
    fs = []
    for path in frontier.solutions:
        prefixes = _prefixes(path.text)
        falls = (max(0.0, h[a] - h[b]) for a, b in pairwise(prefixes))
        fs.append(sum(falls) + h[path.text])
    # A consistent heuristic: goals are taken in order of their cost.
    assert fs == pytest.approx(sorted(fs))


def _prefixes(text: str) -> list[str]:
    return [text[: i + 1] for i in range(len(text))]


@given(st.integers(0, 10**6), st.integers(1, 5))
def test_parallel_extends_no_more_than_allowed_at_once(
    drive, root, seed: int, parallel: int
) -> None:
    frontier = AStarFrontier(root, AStar(k=K, parallel=parallel))
    driver = drive(grow, tree(seed, 64), ends)
    driver(frontier, seed)
    assert driver.most_waiting <= K * parallel
    assert len(frontier.solutions) == 1


def test_identical_steps_are_one(drive, root) -> None:
    frontier = AStarFrontier(root, AStar(k=4))
    driver = drive(lambda m: "a", lambda t: 0.5, ends)
    driver(frontier)
    assert frontier.expansions == DEPTH
    assert len(driver.made) == 4 * DEPTH


def test_answers_that_cannot_be_read_are_no_goals(drive, root) -> None:
    frontier = AStarFrontier(root, AStar(k=2))
    driver = drive(
        lambda m: "ab"[m.index],
        lambda t: 1.0 if t[0] == "a" else 0.1,
        lambda t: len(t) == 2,
        lambda t: None if t[0] == "a" else t,
    )
    driver(frontier)
    assert [p.text for p in frontier.dead] == ["aa", "ab"]
    assert frontier.solutions[0].text[0] == "b"


def test_expansions_are_limited(drive, root) -> None:
    frontier = AStarFrontier(root, AStar(k=2, expansions=3))
    drive(lambda m: "ab"[m.index], lambda t: 0.5, lambda t: len(t) == 9)(frontier)
    assert frontier.expansions == 3
    assert not frontier.solutions
    assert frontier.best_unfinished is not None
    assert frontier.best_unfinished.depth == 3


def test_fewer_steps_than_beam_search_at_equal_accuracy(drive, root) -> None:
    """One right path in each tree; scores tell right from wrong prefixes, with noise."""
    steps = {"astar": 0, "beam": 0}
    right = {"astar": 0, "beam": 0}
    trees = 100
    for seed in range(trees):
        rng = random.Random(seed)
        goal = "".join(rng.choice("abcd") for _ in range(DEPTH))
        noise: dict[str, float] = {}

        def judge(text: str, goal=goal, noise=noise, seed=seed) -> float:
            base = 0.8 if goal.startswith(text) else 0.2
            shift = noise.setdefault(text, stable_seed(seed, text) % 1000 / 1000 - 0.5)
            return base + 0.3 * shift

        astar = AStarFrontier(root, AStar(k=4))
        beam = BeamFrontier(root, 8, 4)
        for name, frontier in (("astar", astar), ("beam", beam)):
            driver = drive(lambda m: "abcd"[m.index % 4], judge, ends)
            driver(frontier, seed)
            steps[name] += len(driver.landed)
            found = astar.solutions if name == "astar" else beam.finished
            best = max(found, key=lambda p: p.score or 0.0)
            right[name] += best.text == goal
    assert right["astar"] == right["beam"] == trees
    assert steps["astar"] < steps["beam"] * 0.6
