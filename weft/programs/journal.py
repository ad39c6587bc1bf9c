"""The journal of a run: what happened, in order. Usage and graph are read from it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import anyio

from weft.types import Usage

Kind = Literal[
    "program", "node", "fan_out", "call", "sent", "done", "cancelled", "failed", "budget"
]


@dataclass(frozen=True, slots=True)
class Event:
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
    parent: str | None = None
    data: dict[str, Any] = field(default_factory=dict[str, Any])


class Journal:
    """Collects the events and the usage of one run.

    Args:
        observe: told of each event as it happens.
    """

    def __init__(self, observe: Callable[[Event], None] | None = None) -> None:
        self._observe = observe
        self.name = uuid4().hex[:12]
        self.started = anyio.current_time()
        self.events: list[Event] = []
        self.usage = Usage()
        self._occurrences: dict[bytes, int] = {}
        self._ids = itertools.count(1)

    def occurrence(self, asked: bytes) -> int:
        """How often the same was asked before in this run.

        Asked for again, the same is another sample, not the same one again.
        """
        count = self._occurrences.get(asked, 0)
        self._occurrences[asked] = count + 1
        return count

    def begin(self, kind: Kind, parent: str | None, **data: Any) -> str:
        """Note that something begins; returns its id."""
        name = f"{kind}-{next(self._ids)}"
        self.note(kind, name, parent, **data)
        return name

    def note(self, kind: Kind, id: str, parent: str | None = None, **data: Any) -> None:
        """Note an event."""
        event = Event(anyio.current_time() - self.started, kind, id, parent, data)
        self.events.append(event)
        if self._observe is not None:
            self._observe(event)
