"""A contextual bandit: what each of several arms brings in a context, learned by linear regression.

LinUCB (Li et al. 2010), and two other rules over the same regression, as GreenServ (2026) compares
them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

EXPLORE = ("linucb", "epsilon", "thompson")
"""Rules by which an arm is tried of which little is known."""

_ALPHA = 0.1  # of LinUCB: standard errors above the estimate
_SIGMA = 0.25  # of Thompson sampling: standard errors of its draws
_RIDGE = 0.05
_FIRST, _DECAY, _LEAST = 1.0, 0.98, 0.01  # epsilon: at first, its decay, at last


class _Arm:
    """Ridge regressions of accuracy and of cost upon a context, by the same inverse matrix."""

    def __init__(self, size: int) -> None:
        self.inverse = [[(i == j) / _RIDGE for j in range(size)] for i in range(size)]
        self.accuracy, self.cost = [0.0] * size, [0.0] * size
        self.count = 0

    def learn(self, context: Sequence[float], accuracy: float, cost: float) -> None:
        """Take in what the arm brought (the formula of Sherman and Morrison)."""
        ahead = self._times(context)
        width = 1 + _dot(context, ahead)
        for i, row in enumerate(self.inverse):
            for j in range(len(row)):
                row[j] -= ahead[i] * ahead[j] / width
        for i, x in enumerate(context):
            self.accuracy[i] += x * accuracy
            self.cost[i] += x * cost
        self.count += 1

    def estimate(self, context: Sequence[float]) -> tuple[float, float, float]:
        """Accuracy and cost in a context, and the standard error of either in units of noise."""
        ahead = self._times(context)
        width = math.sqrt(max(0.0, _dot(context, ahead)))
        return _dot(self.accuracy, ahead), _dot(self.cost, ahead), width

    def _times(self, context: Sequence[float]) -> list[float]:
        return [_dot(row, context) for row in self.inverse]


class LinearArms:
    """Chooses among arms by reward: (1 - weight) * accuracy - weight * cost / highest cost so far.

    An arm that is named for the first time is new, and joins the others.

    Args:
        size: how many numbers a context has.
        weight: of cost against accuracy, from 0 to 1.
        explore: the rule; see `EXPLORE`.
    """

    def __init__(self, size: int, weight: float = 0.5, explore: str = "linucb") -> None:
        self.size, self.weight, self.explore = size, weight, explore
        self._arms: dict[str, _Arm] = {}
        self._highest = 0.0
        self._epsilon = _FIRST

    def rank(self, arms: Sequence[str], context: Sequence[float], rng: random.Random) -> list[str]:
        """Arms in the order in which they should be tried; of equals the first named is first.

        Args:
            arms: their names.
            context: what is known of the question.
            rng: for rules that draw.
        """
        if self.explore == "epsilon":
            epsilon, self._epsilon = self._epsilon, max(_LEAST, self._epsilon * _DECAY)
            if rng.random() < epsilon:
                return rng.sample(arms, len(arms))
        return sorted(arms, key=lambda arm: -self._promise(arm, context, rng))

    def _promise(self, arm: str, context: Sequence[float], rng: random.Random) -> float:
        accuracy, cost, width = self._arm(arm).estimate(context)
        worth = self._reward(accuracy, cost)
        if self.explore == "linucb":
            return worth + _ALPHA * width
        if self.explore == "thompson":
            return worth + _SIGMA * width * rng.gauss(0, 1)
        return worth

    def reward(self, arm: str, context: Sequence[float]) -> float:
        """What an arm is thought to bring."""
        accuracy, cost, _ = self._arm(arm).estimate(context)
        return self._reward(accuracy, cost)

    def learn(self, arm: str, context: Sequence[float], accuracy: float, cost: float) -> None:
        """Take in what an arm brought.

        Args:
            arm: its name.
            context: in which it was tried.
            accuracy: from 0 to 1.
            cost: at least 0, in any unit that is the same for all arms.
        """
        self._highest = max(self._highest, cost)
        self._arm(arm).learn(context, accuracy, cost)

    @property
    def counts(self) -> dict[str, int]:
        """How often each arm has brought something."""
        return {name: arm.count for name, arm in self._arms.items()}

    def data(self) -> dict[str, Any]:
        """All that was learned, as plain data."""
        return {
            "size": self.size,
            "weight": self.weight,
            "explore": self.explore,
            "highest": self._highest,
            "epsilon": self._epsilon,
            "arms": {
                name: {
                    "inverse": [list(row) for row in arm.inverse],
                    "accuracy": list(arm.accuracy),
                    "cost": list(arm.cost),
                    "count": arm.count,
                }
                for name, arm in self._arms.items()
            },
        }

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> LinearArms:
        """What `data` gave, made alive again."""
        made = cls(data["size"], data["weight"], data["explore"])
        made._highest, made._epsilon = data["highest"], data["epsilon"]
        for name, one in data["arms"].items():
            arm = made._arm(name)
            arm.inverse = [list(row) for row in one["inverse"]]
            arm.accuracy, arm.cost = list(one["accuracy"]), list(one["cost"])
            arm.count = one["count"]
        return made

    def _reward(self, accuracy: float, cost: float) -> float:
        share = cost / self._highest if self._highest else 0.0
        return (1 - self.weight) * accuracy - self.weight * share

    def _arm(self, name: str) -> _Arm:
        return self._arms.setdefault(name, _Arm(self.size))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
