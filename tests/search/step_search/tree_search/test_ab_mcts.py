from __future__ import annotations

import math
import random
from statistics import fmean, pvariance

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.search import AbMcts
from weft.search.step_search.frontier import Move
from weft.search.step_search.tree_search.ab_mcts import AbMctsFrontier
from weft.search.step_search.tree_search.mixed_model import MixedModel
from weft.search.step_search.tree_search.posteriors import beta, gaussian
from weft.search.step_search.tree_search.tree import Scores
from weft.search.strategy import stable_seed


def scores(found: list[float]) -> Scores:
    kept = Scores()
    for score in found:
        kept.add(score)
    return kept


FOUND = [0.9, 0.7, 0.8, 0.2, 0.6, 0.9, 0.5]


def test_the_gaussian_posterior_is_that_of_its_prior() -> None:
    """Normal-inverse-chi-squared with m = 0, kappa = 1, nu = 1, tau^2 = 0.1 (Murphy 2023)."""
    n, mean = len(FOUND), fmean(FOUND)
    kappa, nu = 1 + n, 1 + n
    centre = n * mean / kappa
    tau2 = (1 * 0.1 + n * pvariance(FOUND) + n * 1 * mean**2 / kappa) / nu
    rng = random.Random(0)
    drawn = [gaussian(scores(FOUND), rng) for _ in range(20000)]
    # Student's t about the centre, with nu degrees of freedom.
    assert fmean(drawn) == pytest.approx(centre, abs=0.005)
    assert pvariance(drawn) == pytest.approx(tau2 / kappa * nu / (nu - 2), rel=0.06)


def test_without_scores_there_is_the_prior() -> None:
    rng = random.Random(0)
    drawn = sorted(gaussian(Scores(), rng) for _ in range(20000))
    # Cauchy of scale sqrt(0.1), whose quartiles are at the scale.
    assert drawn[10000] == pytest.approx(0.0, abs=0.02)
    assert drawn[15000] == pytest.approx(0.1**0.5, abs=0.02)
    assert fmean(beta(Scores(), rng) for _ in range(20000)) == pytest.approx(0.5, abs=0.01)


def test_the_beta_posterior() -> None:
    rng = random.Random(0)
    a, b = 0.5 + sum(FOUND), 0.5 + len(FOUND) - sum(FOUND)
    drawn = [beta(scores(FOUND), rng) for _ in range(20000)]
    assert fmean(drawn) == pytest.approx(a / (a + b), abs=0.005)
    assert pvariance(drawn) == pytest.approx(a * b / (a + b) ** 2 / (a + b + 1), rel=0.05)


GROUPS = [[0.9, 0.8, 0.85], [0.1], [0.4, 0.6]]


def by_conditioning() -> list[float]:
    """Mean level of each group and of a new one: scores and levels are jointly normal."""
    found = np.array([score for group in GROUPS for score in group])
    of = np.array([j for j, group in enumerate(GROUPS) for _ in group])
    grid = np.linspace(0.01, 1.2, 60)
    total, levels = 0.0, np.zeros(len(GROUPS) + 1)
    for spread in grid:
        for noise in grid:
            same = of[:, None] == of[None, :]
            between = 0.04 + spread**2 * same + noise**2 * np.eye(len(found))
            across = 0.04 + spread**2 * (np.arange(len(GROUPS) + 1)[:, None] == of[None, :])
            solved = np.linalg.solve(between, found - 0.5)
            weight = math.exp(-0.5 * (found - 0.5) @ solved - spread**2 / 0.08 - noise**2 / 0.18)
            weight /= math.sqrt(np.linalg.det(between))
            total += weight
            levels += weight * (0.5 + across @ solved)
    return list(levels / total)


def test_the_mixed_model_is_the_posterior_of_its_prior() -> None:
    *below, new = by_conditioning()
    rng = random.Random(0)
    model = MixedModel.of([scores(found) for found in GROUPS])
    drawn = [model.draw(rng) for _ in range(12_000)]
    for j, expected in enumerate(below):
        assert fmean(d[j] for d, _ in drawn) == pytest.approx(expected, abs=0.015)
    assert fmean(n for _, n in drawn) == pytest.approx(new, abs=0.015)


def test_more_scores_make_the_mixed_model_surer() -> None:
    rng = random.Random(0)

    def width(times: int) -> float:
        model = MixedModel.of([scores([0.7, 0.8] * times), scores([0.3, 0.2] * times)])
        return pvariance([model.draw(rng)[0][0] for _ in range(4000)])

    assert width(20) < width(1)


def grow(move: Move) -> str:
    return "abcdefgh"[stable_seed("grow", move.path.text, move.index) % 8]


def tree(frontier: AbMctsFrontier) -> dict[str, int]:
    open, found = [frontier.root], dict[str, int]()
    while open:
        node = open.pop()
        open += node.children.values()
        found[node.path.text] = node.scores.count
        assert node.under_way == 0
    return found


beliefs = st.sampled_from(["gaussian", "beta", "mixed"])


@given(st.integers(1, 60), st.integers(1, 9), beliefs, st.integers(), st.booleans())
def test_which_step_ends_first_does_not_matter(
    drive, root, n: int, parallel: int, belief: str, seed: int, failing: bool
) -> None:
    found = []
    for order in (None, seed):
        settings = AbMcts(n=n, parallel=parallel, belief=belief)
        frontier = AbMctsFrontier(root, settings, random.Random(seed))
        driver = drive(grow, lambda t: stable_seed(t) % 101 / 100, lambda t: len(t) == 4)
        if failing:
            driver.fails = lambda move: stable_seed("fail", move.path.text, move.index) % 3 == 0
        driver(frontier, order)
        assert driver.most_waiting <= parallel
        assert len(driver.made) == frontier.walks == n
        found.append(tree(frontier))
    assert found[0] == found[1]


@pytest.mark.parametrize("belief", ["gaussian", "beta"])
@pytest.mark.parametrize("good", ["wide", "deep"])
def test_it_goes_where_scores_are_higher(drive, root, good: str, belief: str) -> None:
    """New first steps are good and all below them bad, or the other way round."""
    settings = AbMcts(n=60, belief=belief)
    frontier = AbMctsFrontier(root, settings, random.Random(0))
    driver = drive(
        lambda m: f"{m.index:02}",
        lambda t: 0.9 if (len(t) == 2) == (good == "wide") else 0.1,
        lambda t: len(t) == 20,
    )
    driver(frontier, 0)
    wide = len(frontier.root.children)
    assert wide > 45 if good == "wide" else wide < 15


@pytest.mark.parametrize("parallel", [1, 8])
@pytest.mark.parametrize("belief", ["gaussian", "beta"])
def test_walks_go_to_the_better_arm(drive, root, belief: str, parallel: int) -> None:
    """Of two first steps with known means; the better one's share of all walks goes to 1."""
    settings = AbMcts(n=1500, belief=belief, parallel=parallel)
    frontier = AbMctsFrontier(root, settings, random.Random(3))
    rng = random.Random(1)

    def judge(text: str) -> float:
        mean = {"a": 0.7, "b": 0.3}[text[0]]
        return mean + (rng.random() - 0.5) / 5 if len(text) > 1 else mean / 2

    driver = drive(
        lambda m: "ab"[m.index % 2] if not m.path.text else f"{m.index}",
        judge,
        lambda t: len(t) > 1,
    )
    driver(frontier, 5)
    walks = tree(frontier)
    assert walks["a"] / (walks["a"] + walks["b"]) > 0.95


def test_mixed_beliefs_find_the_better_arm(drive, root) -> None:
    settings = AbMcts(n=120, belief="mixed")
    frontier = AbMctsFrontier(root, settings, random.Random(3))
    driver = drive(
        lambda m: f"{'ab'[m.index % 2]}" if not m.path.text else f"{m.index % 3}",
        lambda t: {"a": 0.9, "b": 0.1}[t[0]],
        lambda t: len(t) == 6,
    )
    driver(frontier, 5)
    walks = tree(frontier)
    assert walks["a"] > 4 * walks["b"]


@pytest.mark.parametrize("seed", range(12))
def test_one_or_eight_at_once_reach_the_same_best_node(drive, root, seed: int) -> None:
    found = []
    for parallel in (1, 8):
        settings = AbMcts(n=250, parallel=parallel, belief="beta")
        frontier = AbMctsFrontier(root, settings, random.Random(seed))
        driver = drive(
            lambda m: "abc"[m.index % 3],
            lambda t: 0.9 if "cab".startswith(t) else stable_seed(seed, t) % 101 / 200,
            lambda t: len(t) == 3,
        )
        driver(frontier, seed)
        found.append(max(frontier.finished, key=lambda p: (p.score or 0, p.tie)).text)
    assert found == ["cab", "cab"]
