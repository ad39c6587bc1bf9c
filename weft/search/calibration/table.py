"""Which strategy to use for a question of some difficulty: a table, fitted to results.

Compute-optimal test-time scaling (Snell et al. 2024). Difficulty is a score that can be had
before: of a probe. It is parted into bins of equal numbers of questions. In each bin one strategy
is used, so that all bins together have most right answers for the tokens that there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from weft.errors import UsageError
from weft.search.calibration.kept import Example

SELF = ""
"""The answer that the probe gave, for no more tokens."""


@dataclass(frozen=True)
class PolicyTable:
    """A strategy for each bin of difficulty.

    Attributes:
        edges: the scores at which bins begin, without the first bin's.
        picks: of each bin, the spec of a strategy; `SELF` is the answer of the probe.
    """

    edges: tuple[float, ...]
    picks: tuple[str, ...]

    def pick(self, score: float) -> str:
        """The strategy for a question."""
        return self.picks[bisect_right(self.edges, score)]


class BinRecord(NamedTuple):
    """What a strategy is like in a bin.

    Attributes:
        strategy: its spec.
        right: the share of questions that it answers rightly.
        tokens: of a question, in the mean.
    """

    strategy: str
    right: float
    tokens: float


def fit_table(examples: Sequence[Example], tokens: float, bins: int = 5) -> PolicyTable:
    """The table with most right answers for so many tokens a question.

    Args:
        examples: of each question, the probe's score and what came of it by the strategies that
            there are to choose from.
        tokens: that a question may cost in the mean, the probe's included.
        bins: of difficulty, at most: scores that are equal are in one bin.

    Raises:
        UsageError: there are no examples, or they don't say what the probe's answer cost.
    """
    if not examples or any(SELF not in one.beside for one in examples):
        raise UsageError("a table needs examples of questions, each with the probe's outcome")
    scores = sorted(one.score for one in examples)
    cuts = {scores[i * len(scores) // bins] for i in range(1, bins)}
    edges = tuple(sorted(cut for cut in cuts if cut > scores[0]))
    parts: list[list[Example]] = [[] for _ in range(len(edges) + 1)]
    for one in examples:
        parts[bisect_right(edges, one.score)].append(one)
    extra = tokens - fmean(one.beside[SELF][1] for one in examples)
    shares = [len(part) / len(examples) for part in parts]
    return PolicyTable(edges, best_picks([prices(part) for part in parts], shares, extra))


def best_picks(
    bins: Sequence[Sequence[BinRecord]], shares: Sequence[float], tokens: float
) -> tuple[str, ...]:
    """One strategy of each bin: most right answers for the tokens; of equals the cheapest.

    Exact: of all combinations, those are dropped on the way that are beaten in both.

    Args:
        bins: of each, the strategies that there are; one without tokens among them.
        shares: of all questions, how many are in each bin.
        tokens: that a question may cost in the mean.
    """
    front: list[tuple[float, float, tuple[str, ...]]] = [(0.0, 0.0, ())]
    for prices, share in zip(bins, shares, strict=True):
        grown = sorted(
            (
                (cost + share * one.tokens, right + share * one.right, (*picks, one.strategy))
                for cost, right, picks in front
                for one in prices
                if one.tokens == 0 or cost + share * one.tokens <= tokens + 1e-9
            ),
            key=lambda made: (made[0], -made[1]),
        )
        front = []
        for made in grown:
            if not front or made[1] > front[-1][1] + 1e-12:
                front.append(made)
    return front[-1][2]


def held_out(examples: Sequence[Example], tokens: float, bins: int = 5) -> tuple[float, float]:
    """What tables come to on questions that they were not fitted to.

    One table is fitted to each half of the problems, and measured on the other half. Both halves
    are alike in difficulty: of problems in the order of their scores every second is in one.

    Args:
        examples: of two problems at least.
        tokens: that a question may cost in the mean.
        bins: of difficulty, at most.

    Returns:
        the share of right answers, and the tokens of a question.
    """
    ranked = sorted(examples, key=lambda one: one.score)
    problems = list(dict.fromkeys(one.problem for one in ranked))
    first = set(problems[::2])
    halves = [[e for e in examples if (e.problem in first) == here] for here in (True, False)]
    found: list[tuple[float, float]] = []
    for half, other in (halves, halves[::-1]):
        found += _outcomes(fit_table(half, tokens, bins), other)
    return fmean(right for right, _ in found), fmean(cost for _, cost in found)


def _outcomes(table: PolicyTable, examples: Sequence[Example]) -> Iterator[tuple[bool, float]]:
    """What a table would have come to: whether each answer is right, and the tokens it cost.

    Questions for which its pick has no outcome are left out.
    """
    for one in examples:
        pick = table.pick(one.score)
        if pick in one.beside:
            right, tokens = one.beside[pick]
            yield right, one.beside[SELF][1] + (tokens if pick != SELF else 0.0)


def prices(examples: Sequence[Example]) -> list[BinRecord]:
    """What each strategy is like on some questions; those are left out that answered too few."""
    found = [BinRecord(SELF, fmean(one.beside[SELF][0] for one in examples), 0.0)]
    for spec in sorted({spec for one in examples for spec in one.beside} - {SELF}):
        given = [one.beside[spec] for one in examples if spec in one.beside]
        if 2 * len(given) > len(examples):
            right, tokens = fmean(r for r, _ in given), fmean(t for _, t in given)
            found.append(BinRecord(spec, right, tokens))
    return found
