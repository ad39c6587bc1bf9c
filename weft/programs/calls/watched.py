"""A call that is watched: it may be ended at a token."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import anyio

from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.programs.budgets.reservation import Reservation
from weft.programs.calls.progress import CallProgress
from weft.programs.history.outcome import Outcome
from weft.programs.scope import Scope
from weft.programs.watching import Monitor
from weft.types import Delta

CUT = "cut"
"""The `finish_reason` of an answer that its monitor has ended."""


class WatchedProgress(CallProgress):
    """Follows a call that is watched: when the monitor ends the answer, the call is aborted."""

    __slots__ = ("_abort", "_kept", "_look", "_monitor", "_shown")

    def __init__(
        self,
        scope: Scope,
        call: Call,
        outcome: Outcome,
        reservation: Reservation | None,
        lost: Callable[[str], None] | None,
        since: float,
        monitor: Monitor,
    ) -> None:
        super().__init__(scope, call, outcome, reservation, lost, since)
        self._monitor, self._abort = monitor, anyio.CancelScope()
        self._kept: int | None = None  # tokens of an answer that was ended
        self._shown = ""  # its text

    async def unless_cut(self, running: Coroutine[Any, Any, Ticket]) -> None:
        """Run the call, until it has come to its end or its monitor has ended it."""
        with self._abort:
            await running

    def on_sent(self, ticket: Ticket) -> None:
        """The call goes to an engine; one that was ended goes to no other."""
        if self._kept is None:
            super().on_sent(ticket)
            self._look = self._monitor.begin()

    def on_delta(self, delta: Delta) -> None:
        """The engine produced something; what comes behind the end is only counted."""
        before = self._generated
        super().on_delta(delta)
        if self._kept is None and (more := self._look(delta)) is not None:
            self._kept = before + more
            self._shown = "".join(self._text[:-1]) + _beginning(delta, more)
            self._abort.cancel()

    def close(self) -> None:
        """The call ended, one way or another."""
        super().close()
        if (kept := self._kept) is None:
            return
        outcome, generated = self._outcome, self._generated
        outcome.text, outcome.read = self._shown, None
        outcome.tokens, outcome.logprobs = outcome.tokens[:kept], outcome.logprobs[:kept]
        outcome.finish_reason, outcome.ended = CUT, False
        charged = outcome.usage
        lost = charged.cancelled + charged.completion - generated
        outcome.usage = replace(charged, completion=kept, cancelled=lost + generated - kept)
        if self._reservation is not None:  # the same tokens, but of an answer
            self._reservation.charge(outcome.usage - charged, last=True)


def _beginning(delta: Delta, tokens: int) -> str:
    """The text of the first tokens of a piece, as far as one can tell."""
    if tokens >= len(delta.logprobs):
        return delta.text
    return delta.text[: sum(len(one.token) for one in delta.logprobs[:tokens])]
