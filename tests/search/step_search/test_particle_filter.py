from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import accumulate, pairwise, product
from statistics import mean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.search import ParticleFilter
from weft.search.step_search.frontier import Move, Path
from weft.search.step_search.particle_filter import ParticleFrontier, logit
from weft.search.step_search.resampling import RESAMPLING, systematic

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


@pytest.mark.parametrize("resample", sorted(RESAMPLING))
@pytest.mark.parametrize(("weight", "judge"), [("latest", newest), ("ratio", cumulative)])
def test_particles_find_the_posterior(drive, root, weight: str, judge, resample: str) -> None:
    exact = posterior()
    last_one = sum(p for states, p in exact.items() if states[-1] == "1")
    first_one = sum(p for states, p in exact.items() if states[0] == "1")
    runs: dict[str, list[float]] = {"last": [], "first": [], "path": []}
    likeliest = max(exact, key=lambda s: exact[s])
    n, repeats = 150, 20
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


# A tree whose answers have one to four steps: `!` ends an answer, and so does the fourth step.
STEP = {"a": 0.5, "b": 0.3, "!": 0.2}
MOST = 4


def over(text: str) -> bool:
    return text.endswith("!") or len(text) == MOST


def prior(text: str = "", p: float = 1.0) -> dict[str, float]:
    """The probability of each answer."""
    if text and over(text):
        return {text: p}
    return {k: v for step, q in STEP.items() for k, v in prior(text + step, p * q).items()}


def odds(text: str) -> float:
    """Of the score: good steps raise the odds, and ends lower them."""
    return 0.6 * math.prod({"a": 0.5, "b": 2.5, "!": 0.7}[step] for step in text)


def target(weight: str, tau: float) -> dict[str, float]:
    """The posterior that the strategy's docstring names, by going through all answers."""
    found: dict[str, float] = {}
    for text, p in prior().items():
        if weight == "ratio":
            seen = odds(text)
        else:
            seen = math.prod(odds(text[: min(t, len(text))]) for t in range(1, MOST + 1))
        found[text] = p * seen ** (1 / tau)
    total = sum(found.values())
    return {text: p / total for text, p in found.items()}


def distance(a: Mapping[Any, float], b: Mapping[Any, float]) -> float:
    """Total variation."""
    return sum(abs(a.get(k, 0) - b.get(k, 0)) for k in {**a, **b}) / 2


def sampled(drive, root, n: int, repeats: int, **settings) -> dict[str, float]:
    """The mean weight of each answer."""
    found: defaultdict[str, float] = defaultdict(float)
    for seed in range(repeats):
        rng = random.Random(seed)
        frontier = ParticleFrontier(root, ParticleFilter(n=n, **settings), random.Random(seed + 99))
        grow = lambda move, rng=rng: rng.choices(list(STEP), list(STEP.values()))[0]  # noqa: E731
        drive(grow, lambda text: odds(text) / (1 + odds(text)), over)(frontier)
        for path, weight in zip(frontier.slots, frontier.weights, strict=True):
            found[path.text] += weight / repeats
    return dict(found)


@pytest.mark.parametrize("resample", sorted(RESAMPLING))
def test_answers_of_unequal_length(drive, root, resample: str) -> None:
    """By default the particles are a sample of p(answer) times the odds of its score."""
    found = sampled(drive, root, n=400, repeats=8, resample=resample)
    assert distance(found, target("ratio", 1.0)) < 0.08
    assert distance(found, prior()) > 0.3
    assert distance(found, target("latest", 1.0)) > 0.3


@pytest.mark.parametrize(("weight", "tau"), [("ratio", 2.0), ("latest", 1.0)])
def test_the_posterior_of_each_weight(drive, root, weight: str, tau: float) -> None:
    found = sampled(drive, root, n=400, repeats=8, weight=weight, tau=tau)
    assert distance(found, target(weight, tau)) < 0.08
    assert distance(found, target("ratio", 1.0)) > 0.15


def test_the_answer_is_drawn_by_weight(root) -> None:
    frontier = ParticleFrontier(root, ParticleFilter(n=4), random.Random(0))
    assert frontier.draw() is None
    values = ["x", None, "y", "x"]
    frontier.slots = [Path(root.prompt, str(i), 1, root, finished=True, value=v) for i, v in
                      enumerate(values)]  # fmt: skip
    frontier.weights = [0.1, 0.5, 0.3, 0.1]
    counts = Counter(path.text for _ in range(5000) if (path := frontier.draw()))
    assert counts["1"] == 0
    for text, share in (("0", 0.2), ("2", 0.6), ("3", 0.2)):
        assert counts[text] / 5000 == pytest.approx(share, abs=0.03)


def test_a_step_without_a_score_changes_no_weight(drive, root) -> None:
    frontier = ParticleFrontier(root, ParticleFilter(n=2), random.Random(0))
    steps = iter(["a", "b", "c", "d"])
    scores = {"a": 0.1, "b": 0.1}
    drive(lambda m: next(steps), lambda t: scores.get(t), lambda t: len(t) == 2)(frontier)
    assert frontier.weights == [0.5, 0.5]


def test_one_particle_is_plain_sampling(drive, root) -> None:
    for weight, resample in product(("latest", "ratio"), RESAMPLING):
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


@pytest.mark.parametrize("resample", sorted(RESAMPLING))
def test_equal_weights_keep_every_particle_unless_multinomial(drive, root, resample: str) -> None:
    frontier = ParticleFrontier(root, ParticleFilter(n=16, resample=resample), random.Random(0))
    driver = drive(
        lambda m: f"{m.index:02}" if not m.path.text else "!", lambda t: 0.5, lambda t: "!" in t
    )
    driver(frontier)
    kept = {p.text for p in frontier.slots}
    assert (len(kept) == 16) == (resample != "multinomial")


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


def exact_counts(scheme: str, shares: list[float]) -> dict[tuple[int, ...], float]:
    """How likely each outcome of a scheme is, as numbers of copies."""
    n = len(shares)
    ends = [0.0, *accumulate(shares)]
    if scheme == "systematic":  # between two of the starts at which a place crosses an end
        starts = sorted({0.0, 1.0, *((n * end) % 1 for end in ends)})
        orders = [
            (b - a, [sum(end <= (i + (a + b) / 2) / n for end in ends) - 1 for i in range(n)])
            for a, b in pairwise(starts)
        ]
    else:
        parts = [
            [n * max(0.0, min(e, (i + 1) / n) - max(s, i / n)) for s, e in pairwise(ends)]
            if scheme == "stratified"
            else shares
            for i in range(n)
        ]
        orders = [
            (math.prod(parts[i][k] for i, k in enumerate(order)), order)
            for order in product(range(n), repeat=n)
        ]
    found: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for p, order in orders:
        found[tuple(list(order).count(k) for k in range(n))] += p
    return {counts: p for counts, p in found.items() if p > 1e-9}


def test_resampling_schemes_are_what_they_are_called_and_differ() -> None:
    """Outcomes are as likely as each scheme has it, by going through all of them."""
    shares, draws = [0.35, 0.3, 0.3, 0.05], 6000
    exact = {scheme: exact_counts(scheme, shares) for scheme in RESAMPLING}
    for scheme, draw in RESAMPLING.items():
        rng = random.Random(0)
        seen: Counter[tuple[int, ...]] = Counter()
        for _ in range(draws):
            drawn = draw(shares, rng)
            seen[tuple(drawn.count(k) for k in range(len(shares)))] += 1
        found = {counts: times / draws for counts, times in seen.items()}
        for other, outcomes in exact.items():
            assert (distance(found, outcomes) < 0.03) == (other == scheme), (scheme, other)
        for k, share in enumerate(shares):  # all are unbiased
            mean_copies = sum(p * counts[k] for counts, p in exact[scheme].items())
            assert mean_copies == pytest.approx(4 * share)


def test_logit_is_clipped() -> None:
    assert logit(0.5) == logit(None) == 0.0
    assert logit(1.0) == pytest.approx(math.log(1e7), rel=1e-6)
    assert logit(0.0) == pytest.approx(-math.log(1e7), rel=1e-6)
