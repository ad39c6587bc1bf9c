"""How hard questions are for a model, tracked over rounds: which to ask next (MoPPS, 2025)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from weft.errors import UsageError


class DifficultyTracker:
    """A Beta posterior of the success rate of each question (MoPPS, Qu et al. 2025).

    No call is made for it: it learns of what was drawn anyway. In the paper it chooses prompts for
    reinforcement learning. Here it finds questions of middling difficulty: those at which further
    samples, more effort or another model decide something.

    Args:
        decay: how much of what was seen before a round still counts in it; 1 forgets nothing,
            less follows a model or a prompt that changes.
        prior: successes and failures that are taken for seen before the first round.

    Raises:
        UsageError: decay is not from 0 to 1, or the prior not above 0.
    """

    def __init__(self, decay: float = 1.0, prior: tuple[float, float] = (1.0, 1.0)) -> None:
        if not 0 <= decay <= 1 or not min(prior) > 0:
            raise UsageError(
                f"decay={decay} must be from 0 to 1, and both of prior={prior} above 0"
            )
        self.decay, self.prior = decay, prior
        self._seen: dict[str, tuple[float, float]] = {}

    def saw(self, question: str, right: int, samples: int) -> None:
        """Take in a round: of so many samples of a question, so many were right.

        Raises:
            UsageError: there are more right ones than samples.
        """
        if not 0 <= right <= samples:
            raise UsageError(f"right={right} must be from 0 to samples={samples}")
        old, kept = self.prior, self.decay
        a, b = self.posterior(question)
        self._seen[question] = (
            kept * a + (1 - kept) * old[0] + right,
            kept * b + (1 - kept) * old[1] + samples - right,
        )

    def posterior(self, question: str) -> tuple[float, float]:
        """The parameters of a question's Beta distribution; the prior's of an unknown one."""
        return self._seen.get(question, self.prior)

    def mean(self, question: str) -> float:
        """The expected success rate of a question, from 0 to 1."""
        a, b = self.posterior(question)
        return a / (a + b)

    def choose(
        self,
        questions: Sequence[str],
        n: int,
        *,
        seed: int,
        target: float | tuple[float, float] = 0.5,
    ) -> list[str]:
        """Those of some questions whose success rate is nearest to a target, by Thompson sampling.

        A rate is drawn of each question's posterior. So one that is little known is tried at times.

        Args:
            questions: to choose from, by their ids.
            n: how many.
            seed: from which rates are drawn.
            target: the rate, or the band in which all rates are equally good.

        Returns:
            at most `n` of them, the nearest first; of equals the first.
        """
        rng = random.Random(seed)
        low, high = target if isinstance(target, tuple) else (target, target)
        rates = {one: rng.betavariate(*self.posterior(one)) for one in questions}
        return sorted(rates, key=lambda one: max(low - rates[one], rates[one] - high, 0.0))[:n]

    def data(self) -> dict[str, Any]:
        """All that was learned, as plain data."""
        seen = {one: list(counts) for one, counts in self._seen.items()}
        return {"decay": self.decay, "prior": list(self.prior), "seen": seen}

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> DifficultyTracker:
        """What `data` gave, made alive again."""
        a, b = data["prior"]
        made = cls(data["decay"], (a, b))
        made._seen = {one: (counts[0], counts[1]) for one, counts in data["seen"].items()}
        return made
