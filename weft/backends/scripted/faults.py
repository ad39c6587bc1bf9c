"""Faults: an engine that fails now and then, as real ones do."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from weft.backends.scripted.script import Replies, Reply, Script, Scripted
from weft.errors import UnknownName, UsageError
from weft.types import Request

KINDS = ("500", "429", "503", "cut", "silence")
"""What can go wrong: a status in place of an answer, an answer that breaks off, or none at all."""


@dataclass(frozen=True)
class Faults:
    """Shares of requests at which an engine fails.

    Args:
        rates: by kind (`KINDS`), each from 0 to 1 and at most 1 in all.
        retry_after: seconds after which a 429 or 503 says to come again; None says nothing.
        seed: of the chance; the same seed and order of requests give the same faults.

    Raises:
        UsageError: a kind is unknown, or a rate is out of range.
    """

    rates: Mapping[str, float]
    retry_after: float | None = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for kind, rate in self.rates.items():
            if kind not in KINDS:
                raise UnknownName("fault", kind, KINDS)
            if not 0 <= rate <= 1:
                raise UsageError(f"fault {kind}={rate:g} must be a share of requests from 0 to 1")
        if sum(self.rates.values()) > 1 + 1e-9:
            raise UsageError("the rates of faults add up to more than 1; lower them")

    def over(self, replies: Replies) -> Replies:
        """The same replies, with faults."""
        script = Script([replies] if isinstance(replies, str) else replies)
        kinds, rates = list(self.rates), list(self.rates.values())
        chance = random.Random(self.seed)

        def reply(request: Request) -> Reply:
            answer = script.answer(request)
            well = max(0.0, 1 - sum(rates))
            (kind,) = chance.choices(["", *kinds], [well, *rates])
            return self._with(answer, kind)

        return reply

    def _with(self, answer: Scripted, kind: str) -> Scripted:
        match kind:
            case "":
                return answer
            case "cut":
                return replace(answer, dies_after=max(1, len(answer.text) // 2))
            case "silence":
                return replace(answer, hangs=True)
            case status:
                return replace(answer, status=int(status), retry_after=self.retry_after)
