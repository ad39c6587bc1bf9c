"""How surely a question's vote agrees with that of infinitely many samples.

The probabilities of a question's answers are thought to be drawn from a Dirichlet distribution:
one prior vote for each of a number of places, and the votes that came.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache

_STEPS = 240
"""Of the integral, which then errs by less than 1e-9."""


@lru_cache(maxsize=8192)
def leader_stays(counts: tuple[int, ...], places: int) -> float:
    """The probability that the answer with most votes is the likeliest of all.

    The leader's share is the largest of a Dirichlet draw, which is that of gamma draws: so it is
    the integral of the leader's density, times the probability that each other draw is below.

    Args:
        counts: votes of each answer, most first.
        places: how many answers there may be; those without a vote count too.
    """
    if places <= 1:
        return 1.0
    votes = [*counts, *[0] * (places - len(counts))][:places]
    lead = votes[0]
    others = Counter(votes[1:])
    most = max(others)
    # Over the cube root of x, by which all is flat at 0: Simpson's rule errs little then.
    width = math.cbrt(lead + 12 * math.sqrt(lead + 1) + 13) / _STEPS
    terms: list[float] = []
    for i in range(1, _STEPS + 1):
        root = i * width
        x = root**3
        density = 3 * root**2 * math.exp(lead * math.log(x) - x - math.lgamma(lead + 1))
        # A gamma draw of shape k + 1 is above x as often as a Poisson draw of mean x is up to k.
        poisson = upto = math.exp(-x)
        below = 1.0
        for k in range(most + 1):
            if k in others:
                below *= max(0.0, 1 - upto) ** others[k]
            poisson *= x / (k + 1)
            upto += poisson
        terms.append(density * below * (1 if i == _STEPS else 4 if i % 2 else 2))
    return min(1.0, math.fsum(terms) * width / 3)


@lru_cache(maxsize=8192)
def gain(counts: tuple[int, ...], places: int) -> float:
    """By how much one more sample would raise `leader_stays`, if it is the most helpful one.

    The optimistic knowledge gradient (Chen et al. 2013), by which PETS chooses the next question.

    Args:
        counts: votes of each answer, most first.
        places: how many answers there may be.
    """
    votes = [*counts, *[0] * (places - len(counts))][:places]
    now = leader_stays(tuple(votes), places)
    return max(
        leader_stays(_with_one_more(votes, votes.index(size)), places) - now for size in set(votes)
    )


def _with_one_more(votes: list[int], at: int) -> tuple[int, ...]:
    return tuple(sorted((*votes[:at], votes[at] + 1, *votes[at + 1 :]), reverse=True))
