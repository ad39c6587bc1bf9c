"""Ticket: a call on its way through the scheduler."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from weft.cache.prefix import Hold, PrefixIndex
from weft.orchestrator.call import Call
from weft.orchestrator.programs.program import Program

if TYPE_CHECKING:
    from weft.leases.directive import Directive
    from weft.orchestrator.causes.cause import WaitCause
    from weft.orchestrator.dispatch.call_queue import CallQueue
    from weft.orchestrator.dispatch.replica import Replica


class Ticket:
    """A call that waits or runs; a `CallView` for policies.

    Attributes:
        last: whether all others go first, for a busy engine refused it.
        avoid: engines that it should not go to, if there are others.
        wake: called when the call is bound to an engine, or when no engine is left.
        replica: where it is bound to.
        queue: where it waits.
        key: its place there, by the policy.
        overdue: when it goes before all others; infinite for never. It never moves further away.
        emptied: the engine that lets nobody else in until this one, overdue, fits.
        placement_reason: why it was to go where it was placed when it came.
        reason: why it was bound there, or why it waits.
        waits: seconds that it waited, by cause; without those of the cause that lasts.
        wait_cause: the cause of most of its wait, once it was bound; empty if it did not wait.
        refused: whether an engine was asked to start it and could not.
        plain: whether the policy is not asked about it any more, for it let nobody in.
        hold: its blocks in the engine's prefix index.
        keep: what its engine was told to keep of it in the cache.
        critical: `Program.critical` when it came: the path that it continues.
        calls_before: calls of its program that had ended when it came.
        cached: tokens of its prompt that were expected to be cached when it was bound.
    """

    __slots__ = (
        "_waiting",
        "answer_tokens",
        "arrival",
        "avoid",
        "bound_at",
        "cached",
        "call",
        "calls_before",
        "calls_left",
        "critical",
        "deadline",
        "emptied",
        "fair_start",
        "forced",
        "group",
        "hold",
        "id",
        "index",
        "keep",
        "key",
        "last",
        "overdue",
        "placement_reason",
        "plain",
        "program",
        "prompt_tokens",
        "queue",
        "rank",
        "reason",
        "refused",
        "replica",
        "siblings",
        "since",
        "stage",
        "tokens_left",
        "wait_cause",
        "waits",
        "wake",
    )

    def __init__(
        self,
        call: Call,
        program: Program,
        arrival: int,
        since: float,
        answer_tokens: int,
        wake: Callable[[], None],
    ) -> None:
        self.call = call
        self.id = call.request.id
        self.program = program
        self.stage = call.stage
        self.siblings, self.group, self.rank = call.siblings, call.group, call.rank
        self.calls_left, self.tokens_left = call.calls_left, call.tokens_left
        self.deadline = call.deadline if call.deadline is not None else program.deadline
        self.arrival = arrival
        self.since = since
        self.prompt_tokens = call.prompt_tokens
        self.answer_tokens = answer_tokens
        self.fair_start = 0.0
        self.critical = program.critical
        self.calls_before = program.calls
        self.key: tuple[float, ...] = ()
        self.overdue = math.inf
        self.emptied: Replica | None = None
        self.wake = wake
        self.last = False
        self.avoid: Sequence[Replica] = ()
        self.queue: CallQueue | None = None
        self.replica: Replica | None = None
        self.index: PrefixIndex | None = None
        self.hold: Hold | None = None
        self.keep: Directive | None = None
        self.cached = 0
        self.bound_at = 0.0
        self.forced = False
        self.placement_reason = ""
        self.reason = ""
        self.waits: dict[WaitCause, float] = {}
        self._waiting: tuple[WaitCause, float] = ("ahead", since)
        self.wait_cause: WaitCause | Literal[""] = ""
        self.refused = self.plain = False

    def blame(self, cause: WaitCause, now: float) -> None:
        """It waits for this cause from now on."""
        was, since = self._waiting
        if cause != was:
            self.waits[was] = self.waits.get(was, 0.0) + now - since
            self._waiting = cause, now

    def waited_for(self, now: float) -> WaitCause:
        """The cause for which it has waited longest."""
        last, since = self._waiting
        spent: dict[WaitCause, float] = {**self.waits}
        spent[last] = spent.get(last, 0.0) + now - since
        return max(spent, key=lambda cause: spent[cause])

    @property
    def engine(self) -> str:
        """The name of the engine it is bound to; empty while it waits."""
        return self.replica.name if self.replica is not None else ""

    def hashes(self, block_size: int) -> Sequence[int]:
        """Chained hashes of the prompt's whole blocks."""
        return self.call.hashes(block_size)

    def reported_hashes(self, block_size: int) -> Sequence[int]:
        """The same blocks as vLLM's KV events name them."""
        return self.call.reported_hashes(block_size)
