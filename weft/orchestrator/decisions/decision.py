"""Decision: what the scheduler did with a call or a program, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["come", "wait", "start", "end", "miss", "retain", "release"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the scheduler's log.

    Attributes:
        at: seconds, by the scheduler's clock.
        kind: `come` says why a call stands where it stands in the queue; `wait` why the first
            engine that was asked could not start it; `start` why it went to this engine at
            this moment; `end` what it found there; `miss` why it did not find more, as often as
            there are causes; `retain` and `release` what became of the
            room of a program between calls.
        program: its id.
        call: the call's id; empty for a program's claim.
        engine: the name of the engine concerned; empty for any.
        reason: the policy's own words.
        cause: of a `miss`, of a `wait`, or of the longest part of a wait at its `start`, by its
            name (see `weft.orchestrator.causes`).
        tokens: how many a `miss` is about.
    """

    at: float
    kind: Kind
    program: str
    call: str
    engine: str
    reason: str
    cause: str = ""
    tokens: int = 0


Observe = Callable[[Decision], None]


class Tell(Protocol):
    """Told of a decision that is made now."""

    def __call__(
        self,
        kind: Kind,
        program: str,
        call: str,
        engine: str,
        reason: str,
        cause: str = "",
        tokens: int = 0,
    ) -> None:
        """See `Decision`."""


def teller(observe: Observe, clock: Callable[[], float]) -> Tell:
    """Has `observe` told of decisions with their time."""

    def tell(
        kind: Kind,
        program: str,
        call: str,
        engine: str,
        reason: str,
        cause: str = "",
        tokens: int = 0,
    ) -> None:
        observe(Decision(clock(), kind, program, call, engine, reason, cause, tokens))

    return tell
