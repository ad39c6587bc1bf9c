from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.search import ParticleFilter, ParticleGibbs
from weft.search.step_search.frontier import Move, Path
from weft.search.step_search.particle_filter import ParticleFrontier
from weft.search.step_search.particle_gibbs import GibbsFrontier
from weft.search.strategy import stable_seed

# A hidden Markov model: two states, three observations that were made.
START = {"0": 0.6, "1": 0.4}
NEXT = {"0": {"0": 0.7, "1": 0.3}, "1": {"0": 0.2, "1": 0.8}}
LIKELY = [{"0": 0.9, "1": 0.2}, {"0": 0.1, "1": 0.9}, {"0": 0.8, "1": 0.1}]
T = len(LIKELY)


def seen(states: str) -> float:
    """The likelihood of all observations so far."""
    return math.prod(LIKELY[t][s] for t, s in enumerate(states))


def posterior(tau: float) -> dict[str, float]:
    """Of each sequence of states, by going through them all."""
    joint: dict[str, float] = {}
    for states in map("".join, product("01", repeat=T)):
        prior = START[states[0]] * math.prod(NEXT[a][b] for a, b in pairwise(states))
        joint[states] = prior * seen(states) ** (1 / tau)
    total = sum(joint.values())
    return {states: p / total for states, p in joint.items()}


def judge(states: str) -> float:
    """A score whose odds are the likelihood."""
    return seen(states) / (1 + seen(states))


def transition(seed: int):
    def grow(move: Move) -> str:
        odds = NEXT[move.path.text[-1]] if move.path.text else START
        draw = random.Random(f"{seed} {move.path.text} {move.index}").random()
        return "0" if draw < odds["0"] else "1"

    return grow


def distance(a, b) -> float:
    """Total variation."""
    return sum(abs(a.get(k, 0) - b.get(k, 0)) for k in {**a, **b}) / 2


def weighed(frontier: GibbsFrontier) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for path, weight in zip(frontier.finished, frontier.weights, strict=True):
        found[path.text] += weight / frontier.sweeps
    return dict(found)


def walked(root: Path, states: str) -> Path:
    """The path of a sequence of states."""
    path = root
    for t in range(1, T + 1):
        value = states if t == T else None
        path = Path(root.prompt, states[:t], t, path, 0, judge(states[:t]), t == T, value)
    return path


def after_a_sweep(drive, root, tau: float, known: bool) -> dict[str, float]:
    """What two particles draw; if it is known, they follow an answer of the posterior."""
    settings, rng, repeats = ParticleFilter(n=2, tau=tau), random.Random(1), 3000
    exact = posterior(tau)
    paths = {states: walked(root, states) for states in exact}
    found: Counter[str] = Counter()

    def grow(move: Move) -> str:
        odds = NEXT[move.path.text[-1]] if move.path.text else START
        return "0" if rng.random() < odds["0"] else "1"

    for _ in range(repeats):
        start = rng.choices(list(exact), list(exact.values()))[0]
        reference = paths[start] if known else None
        frontier = ParticleFrontier(root, settings, rng, reference=reference)
        drive(grow, judge, lambda t: len(t) == T)(frontier)
        assert frontier.over
        drawn = frontier.draw()
        assert drawn is not None
        found[drawn.text] += 1
    return {states: times / repeats for states, times in found.items()}


@pytest.mark.parametrize("tau", [1.0, 0.6])
def test_a_sweep_leaves_the_posterior_as_it_is(drive, root, tau: float) -> None:
    """With only two particles, one of which follows an answer; without one they miss it."""
    assert distance(after_a_sweep(drive, root, tau, known=True), posterior(tau)) < 0.03
    assert distance(after_a_sweep(drive, root, tau, known=False), posterior(tau)) > 0.1


@pytest.mark.parametrize(("chains", "tau"), [(1, 1.0), (3, 0.6)])
def test_few_particles_find_the_posterior(drive, root, chains: int, tau: float) -> None:
    settings = ParticleGibbs(n=4, sweeps=1500, chains=chains, tau=tau)
    frontier = GibbsFrontier(root, settings, 5)
    drive(transition(1), judge, lambda t: len(t) == T)(frontier)
    assert frontier.sweeps == 1500
    assert (frontier.swaps > 0) == (chains > 1)
    assert distance(weighed(frontier), posterior(tau)) < 0.07
    assert distance(weighed(frontier), posterior(4.0)) > 0.15


def test_each_chain_keeps_its_own_posterior(drive, root) -> None:
    """Swaps leave the answers of every chain those of its temperature."""
    settings = ParticleGibbs(n=3, sweeps=1500, chains=2, tau=0.5, hottest=3.0)
    frontier = GibbsFrontier(root, settings, 11)
    drawn: list[Counter[str]] = [Counter(), Counter()]
    swap = frontier._swap

    def noting() -> None:
        swap()
        for chain, reference in enumerate(frontier.references):
            assert reference is not None
            drawn[chain][reference.text] += 1

    frontier._swap = noting  # type: ignore[method-assign]
    drive(transition(3), judge, lambda t: len(t) == T)(frontier)
    for counts, tau in zip(drawn, settings.taus, strict=True):
        found = {text: times / 1500 for text, times in counts.items()}
        assert distance(found, posterior(tau)) < 0.08


def over(text: str) -> bool:
    return text.endswith("!") or len(text) == 5


@given(st.integers(2, 5), st.integers(1, 4), st.integers(1, 3), st.integers(), st.booleans())
def test_the_order_of_events_does_not_matter(
    drive, root, n: int, sweeps: int, chains: int, seed: int, failing: bool
) -> None:
    found = []
    for order in (None, seed):
        settings = ParticleGibbs(n=n, sweeps=sweeps, chains=chains)
        frontier = GibbsFrontier(root, settings, 4)
        driver = drive(
            lambda move: "abc!"[stable_seed(move.path.text, move.index) % 4],
            lambda text: stable_seed("judge", text) % 100 / 100,
            over,
        )
        if failing:
            driver.fails = lambda move: stable_seed("fail", move.path.text, move.index) % 3 == 0
        driver(frontier, order)
        assert frontier.sweeps == sweeps
        texts = [p.text for p in frontier.finished]
        found.append((texts, frontier.weights, [r and r.text for r in frontier.references]))
    assert found[0] == found[1]


def test_the_reference_is_kept_and_costs_nothing(drive, root) -> None:
    frontier = GibbsFrontier(root, ParticleGibbs(n=3, sweeps=6), 2)
    references: list[Path | None] = [None]
    begin = frontier._sweep

    def noting():
        references.append(frontier.references[0])
        return begin()

    frontier._sweep = noting  # type: ignore[method-assign]
    driver = drive(transition(8), judge, lambda t: len(t) == T)
    driver(frontier)
    for sweep, reference in enumerate(references[2:], 1):
        assert frontier.finished[3 * sweep] is reference
    assert frontier.steps == len(driver.made) == 3 * T + 5 * 2 * T
