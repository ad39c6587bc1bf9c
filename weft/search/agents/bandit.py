"""The bandit of PlanGEN: which way is tried next, by an upper bound with more terms than UCB's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass
class Arm:
    """A way, with what came of it.

    Attributes:
        prior: how well it is said to suit, from 0 to 1.
        rewards: of its tries that could be scored, from 0 to 1.
        failures: how many tries could not be.
    """

    prior: float
    rewards: list[float]
    failures: int = 0

    @property
    def tries(self) -> int:
        """How often it was tried."""
        return len(self.rewards) + self.failures


class ArmBounds:
    """Chooses among ways.

    The bound of a way is the mean of its rewards + sqrt(2 ln(T + 1) / N) + `prior` times its
    prior + `diversity` / (N + 1) + `recovery` times the share of its tries that failed. T counts
    all tries and N the way's own, at least 1. A failure is no reward of 0: it says nothing of how
    good the way is, and the last term has it tried again. Of equals the first is chosen.

    Args:
        priors: of the ways.
        prior: weight of the priors.
        diversity: weight of ways that were seldom tried.
        recovery: weight of failures.
    """

    def __init__(
        self,
        priors: Sequence[float],
        *,
        prior: float = 0.5,
        diversity: float = 0.5,
        recovery: float = 0.1,
    ) -> None:
        self.arms = [Arm(value, []) for value in priors]
        self._prior, self._diversity, self._recovery = prior, diversity, recovery

    def bound(self, arm: Arm) -> float:
        """What a way may be worth."""
        total = sum(one.tries for one in self.arms)
        return (
            (fmean(arm.rewards) if arm.rewards else 0.0)
            + math.sqrt(2 * math.log(total + 1) / max(1, arm.tries))
            + self._prior * arm.prior
            + self._diversity / (arm.tries + 1)
            + (self._recovery * arm.failures / arm.tries if arm.tries else 0.0)
        )

    def choose(self) -> int:
        """The way to try next."""
        bounds = [self.bound(arm) for arm in self.arms]
        return bounds.index(max(bounds))

    def tried(self, way: int, reward: float | None) -> None:
        """A way was tried; None if its result could not be scored."""
        if reward is None:
            self.arms[way].failures += 1
        else:
            self.arms[way].rewards.append(reward)
