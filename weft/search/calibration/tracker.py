"""BetaTracker: a rate of success that is followed while it may change."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from weft.errors import UsageError


@dataclass(frozen=True)
class BetaTracker:
    """What is believed of a rate, as a Beta distribution (MoPPS, Qu et al. 2025).

    Attributes:
        successes: alpha less the prior's 1.
        failures: beta less the prior's 1.
        keep: what share of earlier counts is kept when new ones come; below 1 a rate that
            changes is followed.

    Raises:
        UsageError: `keep` is out of range, or a count is negative.
    """

    successes: float = 0.0
    failures: float = 0.0
    keep: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1 or self.successes < 0 or self.failures < 0:
            raise UsageError(
                f"a BetaTracker has counts of 0 or more, not {self.successes:g} and "
                f"{self.failures:g}, and keep={self.keep:g} must be above 0 and at most 1"
            )

    def seen(self, successes: int, failures: int) -> BetaTracker:
        """What is believed after some more tries."""
        return replace(
            self,
            successes=self.keep * self.successes + successes,
            failures=self.keep * self.failures + failures,
        )

    @property
    def mean(self) -> float:
        """The rate that is expected."""
        return (self.successes + 1) / (self.successes + self.failures + 2)

    @property
    def stderr(self) -> float:
        """The standard deviation of what is believed."""
        total = self.successes + self.failures + 2
        return (self.mean * (1 - self.mean) / (total + 1)) ** 0.5

    def draw(self, rng: random.Random) -> float:
        """A rate that may be the true one (Thompson sampling)."""
        return rng.betavariate(self.successes + 1, self.failures + 1)
