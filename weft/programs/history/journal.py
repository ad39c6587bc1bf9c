"""The journal of a run: what happened, in order. Usage and graph are read from it."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from weft.concurrency import now
from weft.types import Usage

Kind = Literal[
    "program", "node", "fan_out", "call", "sent", "done", "cancelled", "failed", "budget"
]

_ASKED = 10_000  # different things asked outside any run, of which it is known how often

_BEGINNINGS = ("program", "node", "fan_out", "call")


class Event(NamedTuple):
    """Something that happened in a run.

    Attributes:
        at: seconds since the run began.
        kind: `program`, `node`, `fan_out` and `call` begin something; `sent`, `done`,
            `cancelled` and `failed` say what became of it; `budget` is a limit crossed.
        id: what it happened to.
        parent: the program, node or fan-out inside which it was begun.
        data: more about it, by kind.
    """

    at: float
    kind: Kind
    id: str
    parent: str | None
    data: dict[str, Any]


class _Tally:
    """Usage that adds up, without an object for each sum."""

    __slots__ = ("cached", "calls", "cancelled", "completion", "dollars", "prompt", "reasoning")

    def __init__(self) -> None:
        self.calls = self.prompt = self.cached = self.completion = self.cancelled = 0
        self.dollars, self.reasoning = 0.0, 0

    def add(self, usage: Usage) -> None:
        self.calls += usage.calls
        self.prompt += usage.prompt
        self.cached += usage.cached
        self.completion += usage.completion
        self.cancelled += usage.cancelled
        self.dollars += usage.dollars
        self.reasoning += usage.reasoning

    @property
    def usage(self) -> Usage:
        return Usage(
            self.calls,
            self.prompt,
            self.cached,
            self.completion,
            self.cancelled,
            self.dollars,
            self.reasoning,
        )


class Journal:
    """Collects the events and the usage of one run.

    Args:
        observe: told of each event as it happens.
        endless: it is of calls outside any run, which may go on for ever: no events are kept,
            and of what was asked only the latest.

    Attributes:
        outer: the journal of the run inside which this one runs, if there is one; it is told
            of everything too, and counts with it what was asked before.
        last_end: when a call last ended, on anyio's clock.
        differences: how its programs differed from what they declared.
    """

    def __init__(
        self, observe: Callable[[Event], None] | None = None, *, endless: bool = False
    ) -> None:
        self._observe, self._endless = observe, endless
        self.outer: Journal | None = None
        self._inside: str | None = None
        self.name = uuid4().hex[:12]
        self.started = self.last_end = now()
        self.events: list[Event] = []
        self.differences: list[str] = []
        self._tally = _Tally()
        self._occurrences: OrderedDict[bytes, int] = OrderedDict()
        self._ids = itertools.count(1)

    def belong(self, outer: Journal, inside: str | None) -> None:
        """Make this the journal of a run inside another, in its part `inside`."""
        self.outer, self._inside = outer, inside
        self._occurrences, self._ids = outer._occurrences, outer._ids

    def listen(self, observe: Callable[[Event], None]) -> None:
        """Tell one more of each event as it happens."""
        before = self._observe

        def both(event: Event) -> None:
            if before is not None:
                before(event)
            observe(event)

        self._observe = both

    def occurrence(self, question: bytes, times: int = 1) -> int:
        """How often the same was asked before in this run; it is asked `times` times now.

        Asked for again, the same is another sample, not the same one again.
        """
        key = blake2b(question, digest_size=16).digest()
        count = self._occurrences.pop(key, 0)
        self._occurrences[key] = count + times
        if self._endless and len(self._occurrences) > _ASKED:
            self._occurrences.popitem(last=False)
        return count

    def differ(self, sentences: Sequence[str]) -> None:
        """Note how a program differed from what it declared."""
        if not self._endless:
            self.differences += sentences
        if self.outer is not None:
            self.outer.differ(sentences)

    def spend(self, usage: Usage) -> None:
        """Count what a call cost."""
        self._tally.add(usage)
        if self.outer is not None:
            self.outer.spend(usage)

    @property
    def usage(self) -> Usage:
        """What its calls have cost so far."""
        return self._tally.usage

    def begin(self, kind: Kind, parent: str | None, **data: Any) -> str:
        """Note that something begins; returns its id."""
        name = f"{kind}-{next(self._ids)}"
        self._note(kind, name, parent, data)
        return name

    def note(self, kind: Kind, id: str, parent: str | None = None, **data: Any) -> None:
        """Note an event."""
        self._note(kind, id, parent, data)

    def _note(self, kind: Kind, id: str, parent: str | None, data: dict[str, Any]) -> None:
        at = now()
        if "outcome" in data:
            self.last_end = at
        if not self._endless:
            event = Event(at - self.started, kind, id, parent, data)
            self.events.append(event)
            if self._observe is not None:
                self._observe(event)
        elif self._observe is not None:
            self._observe(Event(at - self.started, kind, id, parent, data))
        if self.outer is not None:
            begins = parent is None and kind in _BEGINNINGS
            self.outer._note(kind, id, self._inside if begins else parent, data)
