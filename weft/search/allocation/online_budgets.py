"""How many samples a question deserves, by how its first four voted: the plan of `pets_online`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist, linear_regression

from weft.errors import UsageError

FIRST = 4
"""Samples that every question gets, and by which it is judged."""

PATTERNS: tuple[str, ...] = ("4", "31", "22", "211", "1111")
"""How four samples may vote: the sizes of their groups."""

_FITTED = range(3, 33)
_CERTAIN = 1e-12


def online_budgets(votes: Iterable[Mapping[str, int]], mean: float, most: int = 64) -> str:
    """The budgets with which `pets_online` agrees most with infinitely many samples.

    Args:
        votes: of problems like those to come, how many samples gave each answer. The rows of an
            evaluation with `majority(n=32, stop_early=false)` have it in `details["votes"]`.
        mean: samples a question, in the mean over such problems; at least 4.
        most: samples of one question at most.

    Returns:
        The parameter `budgets` of `pets_online`.

    Raises:
        UsageError: there are no votes, or `mean` or `most` is below 4.
    """
    pools = [[n / sum(v.values()) for n in v.values() if n > 0] for v in votes if sum(v.values())]
    if not pools:
        raise UsageError("online_budgets needs the votes of at least one problem")
    if mean < FIRST or most < FIRST:
        raise UsageError(f"mean={mean:g} and most={most} of online_budgets must be at least 4")
    share = dict.fromkeys(PATTERNS, 0.0)
    curves = {pattern: (0.0, 0.0) for pattern in PATTERNS}
    for shares in pools:
        a, b = hit_curve(shares)
        for pattern, chance in pattern_chances(shares).items():
            share[pattern] += chance
            so_far = curves[pattern]
            curves[pattern] = so_far[0] + chance * a, so_far[1] + chance * b
    seen = {p: total / len(pools) for p, total in share.items() if total > _CERTAIN}
    budgets = dict.fromkeys(seen, FIRST)

    def misses(pattern: str, k: int) -> float:
        a, b = (sum / share[pattern] for sum in curves[pattern])
        return math.erfc((a * math.sqrt(k) + b) / math.sqrt(2)) / 2

    def gained(pattern: str) -> float:
        # Of misses, not of hits: near 1 these would not differ.
        k = budgets[pattern]
        return misses(pattern, k) - misses(pattern, k + 1) if k < most else 0.0

    spent = float(FIRST)
    while True:
        best = max(seen, key=gained)
        spent += seen[best]
        if gained(best) <= 0 or spent > mean + 1e-9:
            break
        budgets[best] += 1
    return " ".join(f"{pattern}:{budget}" for pattern, budget in budgets.items())


def pattern(votes: Sequence[int], samples: int) -> str:
    """How samples voted, such as `31`; one without an answer is a group of its own."""
    groups = sorted(votes, reverse=True)
    return "".join(map(str, [*groups, *[1] * (samples - sum(groups))]))


def pattern_chances(shares: Sequence[float]) -> dict[str, float]:
    """With what probability four samples vote how, given each answer's probability."""
    s2, s3, s4 = (math.fsum(p**power for p in shares) for power in (2, 3, 4))
    found = {
        "4": s4,
        "31": 4 * (s3 - s4),
        "22": 3 * (s2 * s2 - s4),
        "211": 6 * (s2 - 2 * s3 - s2 * s2 + 2 * s4),
    }
    found = {pattern: max(0.0, chance) for pattern, chance in found.items()}
    return found | {"1111": max(0.0, 1 - math.fsum(found.values()))}


def hit_curve(shares: Sequence[float]) -> tuple[float, float]:
    """The a and b by which k samples vote for the likeliest answer with P = Phi(a sqrt(k) + b).

    Fitted by least squares, in units of standard deviations, to the exact curve.

    Args:
        shares: each answer's probability.
    """
    hits = vote_hits(shares, _FITTED[-1])
    inside = [min(1 - _CERTAIN, max(_CERTAIN, hits[k])) for k in _FITTED]
    fit = linear_regression(
        [math.sqrt(k) for k in _FITTED], [NormalDist().inv_cdf(hit) for hit in inside]
    )
    return fit.slope, fit.intercept


def vote_hits(shares: Sequence[float], most: int) -> list[float]:
    """With what probability a vote of 0, 1, ... `most` samples is for the likeliest answer.

    Exact: the multinomial probabilities of all outcomes, summed by the leader's votes. Each of
    t + 1 answers with as many votes has its first sample first with probability 1 / (t + 1).

    Args:
        shares: each answer's probability, adding up to 1.
        most: the largest number of samples.
    """
    top = max(range(len(shares)), key=lambda i: shares[i])
    others = [p for i, p in enumerate(shares) if i != top]
    found = [0.0] * (most + 1)
    for lead in range(1, most + 1):
        rest = most - lead
        # Of so many ties and so many votes for others, the sum of products of p^n / n!.
        ways = [[1.0] + [0.0] * rest]
        for p in others:
            terms = [p**n / math.factorial(n) for n in range(min(lead, rest) + 1)]
            below, tie = terms[:lead], terms[lead] if lead <= rest else 0.0
            more = [[0.0] * (rest + 1) for _ in range(min(len(ways), rest // lead) + 1)]
            for ties, row in enumerate(ways):
                for votes, way in enumerate(row):
                    if way == 0:
                        continue
                    for n, term in enumerate(below[: rest - votes + 1]):
                        more[ties][votes + n] += way * term
                    if votes + lead <= rest:
                        more[ties + 1][votes + lead] += way * tie
            ways = more
        leads = shares[top] ** lead / math.factorial(lead)
        for ties, row in enumerate(ways):
            for votes, way in enumerate(row):
                found[lead + votes] += math.factorial(lead + votes) * leads * way / (ties + 1)
    return found
