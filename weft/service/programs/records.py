"""What the service remembers of programs and their calls, for people, metrics and traces."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, Protocol

from weft.orchestrator.causes.cause import Miss

LEFT = 499
"""The status of requests whose client left before their end, and of parts that were cancelled."""

Outcome = Literal["", "done", "broken", "cancelled", "refused", "timed_out"]
"""How a call ended, whatever the status that its head had:

- `done`: the client has a whole answer.
- `broken`: the engine, or weft, failed at it, before or within the answer.
- `cancelled`: the client left, or the program was released.
- `refused`: weft or the engine turned it down.
- `timed_out`: it waited too long, or the engine or the client fell silent.

Empty while it is under way.
"""

KEPT = 100
"""Calls that a program's record holds; older ones remain in its sums."""


@dataclass(slots=True, eq=False)
class CallRecord:
    """One request of a client, from its arrival to its end. Times are Unix seconds.

    Attributes:
        id: sent to the engine as `X-Request-Id`.
        program: what it belongs to.
        path: the endpoint, such as `/v1/messages`.
        model: the model that the client asked for.
        came: when it was read.
        sent: when it was last sent to an engine; 0 while it waits.
        first: when the first byte of its answer came; 0 before.
        ended: when it was over; 0 before.
        engine: where it was sent last.
        status: the HTTP status that the client got; 499 if it left before its end.
        prompt: tokens of its prompt; an estimate until the engine says.
        cached: those of them that the engine had cached.
        generated: tokens of its answer so far.
        media: parts of its prompt that are no text, such as images.
        placement_reason: why it went to that engine.
        wait_reason: why it had to wait; empty if it did not.
        wait_cause: the cause of most of its wait, by its name (`weft.orchestrator.causes`).
        missed: why the rest of its prompt was not cached; may name others' calls.
        attempts: engines that it was sent to.
        outcome: how it ended.
        error: what went wrong; empty if nothing did.
        tool: the tool that the answer asks for, as far as it tells.
        trace: the client's W3C `traceparent`; empty if it sent none.
        counted: whether the engine said how many tokens those are; else they are estimates.
        within: id of the request that it is a part of, as a strategy's calls are; else empty.
    """

    id: str
    program: ProgramRecord
    path: str
    model: str
    came: float
    sent: float = 0.0
    first: float = 0.0
    ended: float = 0.0
    engine: str = ""
    status: int = 0
    prompt: int = 0
    cached: int = 0
    generated: int = 0
    media: int = 0
    placement_reason: str = ""
    wait_reason: str = ""
    wait_cause: str = ""
    missed: tuple[Miss, ...] = ()
    attempts: int = 0
    outcome: Outcome = ""
    error: str = ""
    tool: str = ""
    trace: str = ""
    counted: bool = False
    within: str = ""

    @property
    def phase(self) -> str:
        """`queued`, `prefill`, `decode` or `done`."""
        if self.ended:
            return "done"
        if not self.sent:
            return "queued"
        return "decode" if self.first else "prefill"


@dataclass(slots=True, eq=False)
class ProgramRecord:
    """A program as its clients know it. Times are Unix seconds.

    Attributes:
        id: unique; begins with `TENANT/` where there are tenants.
        tenant: on whose behalf it runs; empty without tenants.
        name: which client it is, such as `claude-code`.
        source: how it was recognised, such as `session-id` or `conversation`.
        parent: id of the program that it works for; empty if none.
        began: when its first call came.
        seen: when it was last heard of.
        calls: its latest calls, oldest first, live ones included.
        live: those that wait or run, by id.
        count: calls that have ended, without those that are parts of others.
        parts: calls that have ended and are parts of others; these hold their tokens too.
        prompt: tokens of their prompts, in sum.
        cached: those of them that were cached.
        generated: tokens of their answers.
        waited: seconds that they waited here.
        errors: how many of them were neither done nor cancelled.
        over: why it ended; empty while it lives.
    """

    id: str
    tenant: str
    name: str
    source: str
    parent: str
    began: float
    seen: float
    calls: deque[CallRecord] = field(default_factory=lambda: deque(maxlen=KEPT))
    live: dict[str, CallRecord] = field(default_factory=lambda: {})
    count: int = 0
    parts: int = 0
    prompt: int = 0
    cached: int = 0
    generated: int = 0
    waited: float = 0.0
    errors: int = 0
    over: str = ""

    def is_run_of(self, program: str) -> bool:
        """Whether this is a strategy's run that the program of this id asked for."""
        return self.source == "strategy" and self.parent == program


class Observer(Protocol):
    """Is told what happens; must be quick, for it is called on the way of every request."""

    def call_ended(self, call: CallRecord) -> None:
        """A call is over, one way or another; what it took may be that of its parts."""

    def program_ended(self, program: ProgramRecord, reason: str) -> None:
        """A program is over."""
