"""One after another or side by side: what a budget of tokens reaches either way, in closed form.

With an exact check. Whether repairing an answer or beginning again is better depends on the task
(To Backtrack or Not to Backtrack, Qin et al. 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weft.errors import UsageError


@dataclass(frozen=True)
class Chances:
    """What attempts at a problem are like, and repairs of a wrong one.

    Attributes:
        attempt: the probability that an attempt is right.
        repair: the probability that a repair of a wrong answer makes it right.
        attempt_tokens: what an attempt costs.
        repair_tokens: what a repair costs; a trace that backtracks pays for all it goes back over.

    Raises:
        UsageError: a probability is not from 0 to 1, or a cost is not above 0.
    """

    attempt: float
    repair: float
    attempt_tokens: float = 1.0
    repair_tokens: float = 1.0

    def __post_init__(self) -> None:
        for name in ("attempt", "repair"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}={getattr(self, name)} must be from 0 to 1")
        for name in ("attempt_tokens", "repair_tokens"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}={getattr(self, name)} must be above 0")

    def parallel(self, tokens: float) -> float:
        """The probability that one of as many attempts is right as so many tokens pay for."""
        return 1 - (1 - self.attempt) ** int(tokens / self.attempt_tokens)

    def sequential(self, tokens: float) -> float:
        """The probability that an attempt, or a repair after it, is right."""
        left = tokens - self.attempt_tokens
        if left < 0:
            return 0.0
        return 1 - (1 - self.attempt) * (1 - self.repair) ** int(left / self.repair_tokens)

    def better(self, tokens: float) -> Literal["sequential", "parallel"]:
        """The way that is likelier to be right; of equals, parallel."""
        return "sequential" if self.sequential(tokens) > self.parallel(tokens) else "parallel"
