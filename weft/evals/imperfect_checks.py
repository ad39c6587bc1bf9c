"""What resampling until a check passes can and can't do, where the check is not perfect.

A wrong answer that passes stays wrong, however many samples are drawn before it. So there is a
best number of samples, and it may be small (Inference Scaling fLaws, Stroebl et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from weft.errors import UsageError
from weft.evals.statistics import mean

_NOTHING = 1e-12
_MOST = 100_000


@dataclass(frozen=True)
class Checked:
    """A problem, and a check of answers to it; all three are probabilities.

    Attributes:
        right: a sample is right.
        passes_right: the check passes a right answer.
        passes_wrong: the check passes a wrong answer.

    Raises:
        UsageError: one of them is not from 0 to 1.
    """

    right: float
    passes_right: float = 1.0
    passes_wrong: float = 0.0

    def __post_init__(self) -> None:
        for name in ("right", "passes_right", "passes_wrong"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}={getattr(self, name)} must be from 0 to 1")

    @property
    def passes(self) -> float:
        """The probability that a sample passes."""
        return self.right * self.passes_right + (1 - self.right) * self.passes_wrong

    @property
    def precision(self) -> float:
        """The probability that an answer that passed is right; more samples don't change it."""
        return self.right * self.passes_right / self.passes if self.passes else 0.0

    def worth(self, harm: float) -> float:
        """What one sample is worth: 1 for a right answer that passes, -`harm` for a wrong one."""
        wrong = (1 - self.right) * self.passes_wrong
        return self.right * self.passes_right - harm * wrong

    def utility(self, n: int | float, harm: float) -> float:
        """What is expected of at most n samples, of which the first that passes is the answer.

        Args:
            n: samples at most; `math.inf` for as many as it takes.
            harm: of a wrong answer. A right one is worth 1, and none is worth 0.
        """
        if not self.passes:
            return 0.0
        some_passes = (
            1.0
            if n == math.inf
            else -math.expm1(n * math.log1p(-self.passes))
            if self.passes < 1
            else float(n > 0)
        )
        return some_passes * self.worth(harm) / self.passes


def utility(problems: Sequence[Checked], n: int | float, harm: float = 1.0) -> float:
    """The mean utility of at most n samples a problem (see `Checked.utility`).

    Raises:
        UsageError: there is no problem.
    """
    if not problems:
        raise UsageError("utility needs at least one problem")
    return mean([problem.utility(n, harm) for problem in problems])


def optimal_n(problems: Sequence[Checked], harm: float = 1.0) -> int | float:
    """How many samples a problem are best, where none that passes means no answer.

    0 where it is best to give no answer at all, `math.inf` where more are always better, as
    they are if no wrong answer passes.

    Args:
        problems: of the kind that is to be answered.
        harm: of a wrong answer, where a right one is worth 1.

    Raises:
        UsageError: there is no problem, or harm is negative.
    """
    if not problems or harm < 0:
        raise UsageError("optimal_n needs at least one problem, and a harm of 0 or more")
    left = [(problem.worth(harm), problem.passes) for problem in problems if problem.passes]
    best, best_n, total = 0.0, 0, 0.0
    for n in range(1, _MOST + 1):
        total += math.fsum(worth for worth, _ in left)
        if total > best + _NOTHING:
            best, best_n = total, n
        left = [(worth * (1 - passes), passes) for worth, passes in left]
        if math.fsum(abs(worth) / passes for worth, passes in left) < _NOTHING:
            break
    # The hardest problems are what many samples change in the end.
    hardest = min((passes for worth, passes in left if worth), default=1.0)
    rising = math.fsum(worth for worth, passes in left if passes == hardest) > 0
    at_last = len(problems) * utility(problems, math.inf, harm)
    return math.inf if rising and at_last > best - 2 * _NOTHING else best_n
