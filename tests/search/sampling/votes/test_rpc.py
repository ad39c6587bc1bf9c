from __future__ import annotations

import math
import random
from itertools import product
from operator import eq
from statistics import fmean

import pytest

from weft.orchestrator.pool import Pool
from weft.search import Rpc
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.votes.rpc import consistency, likely
from weft.search.sampling.votes.weibull import Weibull, two_weibulls


def samples(*drawn: tuple[str, str, float]) -> list[Candidate]:
    """Samples of which text, answer and probability are given."""
    return [Candidate(i, text, value, 1, True, p) for i, (text, value, p) in enumerate(drawn)]


PATHS = {"u": ("x", 0.3), "v": ("x", 0.25), "w": ("y", 0.45)}
"""Of each text that a model writes its answer and its probability; x is likelier than y."""


def errors(n: int) -> tuple[float, float]:
    """Mean squared errors of P(x), by RPC's sum and by the share of votes, over all draws of n."""
    of_sum = of_vote = 0.0
    for drawn in product(PATHS, repeat=n):
        chance = math.prod(PATHS[text][1] for text in drawn)
        made = samples(*((text, *PATHS[text]) for text in drawn))
        sums = {c.value: c.weight for c in consistency(made, eq).clusters}
        of_sum += chance * (sums.get("x", 0.0) - 0.55) ** 2
        of_vote += chance * (sum(s.value == "x" for s in made) / n - 0.55) ** 2
    return of_sum, of_vote


def test_the_sum_of_probabilities_converges_faster_than_a_vote() -> None:
    """The sum's error is that of the texts not seen yet, which falls exponentially."""
    u, v = 0.3, 0.25
    found = {n: errors(n) for n in (2, 4, 8)}
    for n, (of_sum, of_vote) in found.items():
        neither = (1 - u - v) ** n
        without_u, without_v = (1 - u) ** n, (1 - v) ** n
        assert of_sum == pytest.approx(u * u * without_u + v * v * without_v + 2 * u * v * neither)
        assert of_vote == pytest.approx(0.55 * 0.45 / n)
    assert found[2][0] / found[4][0] > 2  # a vote's ratio
    assert found[4][0] / found[8][0] > 4


def test_the_same_text_counts_once() -> None:
    """Two texts with one answer outweigh a likelier text that is drawn more often."""
    made = samples(*[("a", "x", 0.5)] * 3, ("b", "y", 0.3), ("c", "y", 0.3))
    count = consistency(made, eq)
    assert count.winner is not None
    assert count.winner.value == "y"
    assert [c.weight for c in count.clusters] == [0.5, 0.6]
    thoughts = [Candidate(i, "a", "x", 1, True, 0.5, reasoning=str(i)) for i in range(2)]
    assert consistency(thoughts, eq).clusters[0].weight == 1.0


def drawn_from(part: Weibull, n: int, rng: random.Random) -> list[float]:
    return [rng.weibullvariate(part.scale, part.shape) for _ in range(n)]


def test_two_modes_are_told_and_the_upper_one_is_kept() -> None:
    rng = random.Random(1)
    low, high = Weibull(4, 0.2), Weibull(9, 0.8)
    numbers = drawn_from(low, 40, rng) + drawn_from(high, 60, rng)
    found = two_weibulls(numbers)
    assert found is not None
    assert found.share == pytest.approx(0.6, abs=0.02)
    assert found.low.mean == pytest.approx(fmean(numbers[:40]), abs=0.01)
    assert found.high.mean == pytest.approx(fmean(numbers[40:]), abs=0.01)
    assert found.high.shape == pytest.approx(high.shape, rel=0.3)
    kept = likely(samples(*((str(i), "x", p) for i, p in enumerate(numbers))))
    assert [s.index for s in kept] == [*range(40, 100)]


def test_none_is_dropped_where_modes_cannot_be_told() -> None:
    few = samples(*((str(i), "x", p) for i, p in enumerate((0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9))))
    assert likely(few) == few
    alike = samples(*[("a", "x", 0.5)] * 20)
    assert likely(alike) == alike
    assert two_weibulls([]) is None


@pytest.mark.parametrize(
    "numbers", [[0.0] * 5 + [1.0] * 5, [1.0] * 19 + [1e-12], [0.5, 0.5, *[0.5 + 1e-9] * 9]]
)
def test_extremes_end(numbers: list[float]) -> None:
    kept = likely(samples(*((str(i), "x", p) for i, p in enumerate(numbers))))
    assert kept
    assert {s.score for s in kept} >= {max(numbers)}


def test_never_is_a_sample_above_the_mean_dropped() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        numbers = [rng.random() ** rng.choice((0.3, 3)) for _ in range(24)]
        kept = {
            s.index for s in likely(samples(*((str(i), "x", p) for i, p in enumerate(numbers))))
        }
        mean = sum(numbers) / len(numbers)
        assert {i for i, p in enumerate(numbers) if p >= mean} <= kept


@pytest.mark.loops("virtual")
async def test_rpc(question, player, by_index) -> None:
    """A scripted engine is sure of every token, so texts count, and none is dropped."""
    replies = ["answer a"] * 4 + ["no idea"] + ["1\nanswer b", "2\nanswer b"] + ["answer c"] * 3
    async with Pool(player(by_index(*replies))):
        answer = await Rpc(n=10)(question)
    assert (answer.value, answer.text, answer.score) == ("b", "1\nanswer b", 0.5)
    assert answer.details == {
        "samples": 10,
        "unparsable": 1,
        "pruned": 0,
        "votes": {"a": 1.0, "b": 2.0, "c": 1.0},
    }
