from __future__ import annotations

import math
import random
from collections import Counter
from itertools import pairwise, product
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.search import ParticleFilter
from weft.search.step_search.frontier import Move
from weft.search.step_search.particle_filter import ParticleFrontier, logit, multinomial, systematic

# A hidden Markov model: two states, four observations that were made.
START = {"0": 0.6, "1": 0.4}
NEXT = {"0": {"0": 0.7, "1": 0.3}, "1": {"0": 0.2, "1": 0.8}}
LIKELY = [{"0": 0.9, "1": 0.2}, {"0": 0.3, "1": 0.6}, {"0": 0.5, "1": 0.8}, {"0": 0.7, "1": 0.1}]
T = len(LIKELY)


def posterior() -> dict[str, float]:
    """Of each sequence of states, by going through them all."""
    joint: dict[str, float] = {}
    for states in map("".join, product("01", repeat=T)):
        p = START[states[0]]
        for a, b in pairwise(states):
            p *= NEXT[a][b]
        joint[states] = p * math.prod(LIKELY[t][s] for t, s in enumerate(states))
    total = sum(joint.values())
    return {states: p / total for states, p in joint.items()}


def newest(text: str) -> float:
    """A score whose odds are the likelihood of the newest observation."""
    odds = LIKELY[len(text) - 1][text[-1]]
    return odds / (1 + odds)


def cumulative(text: str) -> float:
    """A score whose odds are the likelihood of all observations so far."""
    odds = math.prod(LIKELY[t][s] for t, s in enumerate(text))
    return odds / (1 + odds)


@pytest.mark.parametrize("resample", ["multinomial", "systematic"])
@pytest.mark.parametrize(("weight", "judge"), [("latest", newest), ("ratio", cumulative)])
def test_particles_find_the_posterior(drive, root, weight: str, judge, resample: str) -> None:
    exact = posterior()
    last_one = sum(p for states, p in exact.items() if states[-1] == "1")
    first_one = sum(p for states, p in exact.items() if states[0] == "1")
    runs: dict[str, list[float]] = {"last": [], "first": [], "path": []}
    likeliest = max(exact, key=lambda s: exact[s])
    n, repeats = 300, 40
    for seed in range(repeats):
        rng = random.Random(seed)

        def transition(move: Move, rng=rng) -> str:
            odds = NEXT[move.path.text[-1]] if move.path.text else START
            return "0" if rng.random() < odds["0"] else "1"

        settings = ParticleFilter(n=n, weight=weight, resample=resample)
        frontier = ParticleFrontier(root, settings, random.Random(seed + 1000))
        drive(transition, judge, lambda t: len(t) == T)(frontier)
        weighed = list(zip(frontier.slots, frontier.weights, strict=True))
        runs["last"].append(sum(w for p, w in weighed if p.text[-1] == "1"))
        runs["first"].append(sum(w for p, w in weighed if p.text[0] == "1"))
        runs["path"].append(sum(w for p, w in weighed if p.text == likeliest))
    for name, truth in (("last", last_one), ("first", first_one), ("path", exact[likeliest])):
        error = stdev(runs[name]) / math.sqrt(repeats)
        # Four standard errors, and a bias of the order of 1 / n.
        assert abs(mean(runs[name]) - truth) < 4 * error + 2 / n, name


def test_the_newest_score_alone_is_not_the_ratio(drive, root) -> None:
    """With cumulative scores, weighing by the newest counts early observations twice."""
    ends = {}
    for weight in ("latest", "ratio"):
        rng = random.Random(0)
        frontier = ParticleFrontier(root, ParticleFilter(n=2000, weight=weight), random.Random(0))
        drive(lambda m, rng=rng: rng.choice("01"), cumulative, lambda t: len(t) == T)(frontier)
        ends[weight] = sum(
            w for p, w in zip(frontier.slots, frontier.weights, strict=True) if p.text[0] == "0"
        )
    flat = {s: math.prod(LIKELY[t][c] for t, c in enumerate(s)) for s in posterior()}
    truth = sum(p for s, p in flat.items() if s[0] == "0") / sum(flat.values())
    assert ends["ratio"] == pytest.approx(truth, abs=0.04)
    assert ends["latest"] > truth + 0.05


def test_one_particle_is_plain_sampling(drive, root) -> None:
    for weight, resample in product(("latest", "ratio"), ("multinomial", "systematic")):
        frontier = ParticleFrontier(
            root, ParticleFilter(n=1, weight=weight, resample=resample), random.Random(0)
        )
        driver = drive(lambda m: "x", lambda t: 1e-9, lambda t: len(t) == T)
        driver(frontier)
        assert [m.path.text for m in driver.made] == ["", "x", "xx", "xxx"]
        assert frontier.slots[0].text == "x" * T
        assert frontier.ess == [1.0] * T


def test_order_of_events_does_not_matter(drive, root) -> None:
    def grow(move: Move) -> str:
        return random.Random(f"{move.path.text} {move.index}").choice("abc!")

    def judge(text: str) -> float:
        return random.Random(text).random()

    found = set()
    for seed in range(5):
        frontier = ParticleFrontier(root, ParticleFilter(n=6), random.Random(7))
        drive(grow, judge, lambda t: "!" in t or len(t) == 5)(frontier, seed)
        found.add((tuple(p.text for p in frontier.slots), tuple(frontier.ess)))
    assert len(found) == 1


def test_finished_particles_keep_their_weight(drive, root) -> None:
    """A good finished answer takes over the places of bad unfinished ones."""
    texts = iter(["good!", *"bbb"])
    frontier = ParticleFrontier(root, ParticleFilter(n=4), random.Random(0))
    driver = drive(
        lambda m: next(texts, "b"),
        lambda t: 1.0 if t == "good!" else 1e-6,
        lambda t: t.endswith("!") or len(t) == 9,
    )
    driver(frontier)
    assert {p.text for p in frontier.slots} == {"good!"}
    assert frontier.steps == 4
    assert frontier.ess[0] == pytest.approx(1.0)


def test_ess(drive, root) -> None:
    frontier = ParticleFrontier(root, ParticleFilter(n=8), random.Random(0))
    drive(lambda m: "x", lambda t: 0.5, lambda t: len(t) == 2)(frontier)
    assert frontier.ess == pytest.approx([8.0, 8.0])


@pytest.mark.parametrize("resample", ["multinomial", "systematic"])
def test_equal_weights_keep_every_particle_if_systematic(drive, root, resample: str) -> None:
    frontier = ParticleFrontier(root, ParticleFilter(n=16, resample=resample), random.Random(0))
    driver = drive(
        lambda m: f"{m.index:02}" if not m.path.text else "!", lambda t: 0.5, lambda t: "!" in t
    )
    driver(frontier)
    kept = {p.text for p in frontier.slots}
    assert (len(kept) == 16) == (resample == "systematic")


weights = st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any)


@given(weights, st.randoms(use_true_random=False))
def test_systematic_counts(raw: list[int], rng: random.Random) -> None:
    shares = [w / sum(raw) for w in raw]
    counts = Counter(systematic(shares, rng))
    assert sum(counts.values()) == len(shares)
    for i, share in enumerate(shares):
        expected = len(shares) * share
        assert math.floor(expected + 1e-9) - (expected % 1 < 1e-9) <= counts[i]
        assert counts[i] <= math.ceil(expected - 1e-9) + (expected % 1 < 1e-9)
        if raw[i] == 0:
            assert counts[i] == 0


def test_resampling_is_unbiased() -> None:
    shares = [0.5, 0.27, 0.2, 0.03]
    for draw in (multinomial, systematic):
        rng = random.Random(0)
        counts = Counter(i for _ in range(5000) for i in draw(shares, rng))
        for i, share in enumerate(shares):
            assert counts[i] / 20000 == pytest.approx(share, abs=0.015)


def test_logit_is_clipped() -> None:
    assert logit(0.5) == logit(None) == 0.0
    assert logit(1.0) == pytest.approx(math.log(1e7), rel=1e-6)
    assert logit(0.0) == pytest.approx(-math.log(1e7), rel=1e-6)
