"""Line: one conversation as it grows, for those that begin where it was."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

_LEAST = 1024  # bytes of a prompt that a client would make shorter
_SOON = 30.0  # seconds
_TIMES = 3.0  # of the longest pause that a conversation has made so far
_AGENTS = ("agent", "task", "delegate", "spawn")  # in names of tools that send other agents

Kept = dict[str, Any]
"""A conversation as a Store keeps it, in JSON."""


@dataclass(slots=True, eq=False)
class Line:
    """One conversation, as it grows. Bytes are those of prompts."""

    id: str
    program: str
    kind: int = 0  # of agent: who asks, from where, with what system prompt and tools
    lead: int = 0
    opening: tuple[int, int] = (0, 0)  # length and digest of its first message
    folder: bytes = b""  # in which it works, as its first message says
    tools: bool = False
    size: int = 0
    answer: float = 0.0  # bytes of the last answer, about
    asks: str = ""  # the tool that it asks for
    failed: bool = False
    calls: int = 0
    live: int = 0
    since: float = 0.0  # when its last answer was given
    began: float = 0.0
    start: int = 0
    pause: float = 0.0  # its longest
    heir: Line | None = field(default=None, repr=False)

    @property
    def held(self) -> float:
        """Bytes of the last prompt and its answer."""
        return self.size + self.answer

    def lives(self, now: float) -> bool:
        """Whether it was not silent for much longer than ever before."""
        return bool(self.live) or now - self.since <= max(_SOON, _TIMES * self.pause)

    def can_have_stopped(self, now: float) -> bool:
        """Whether it can have stopped before a time."""
        if self.live or not self.calls or self.size < _LEAST or self.since > now:
            return False
        if self.asks:
            asks = self.asks.lower()
            if any(one in asks for one in _AGENTS):
                return False
        elif self.tools and not self.failed:
            return False
        return True

    def chain(self) -> list[Line]:
        """It and those that began where it was, one after the other."""
        found: list[Line] = [self]
        while (heir := found[-1].heir) is not None:
            found.append(heir)
        return found

    def keep(self, now: float) -> Kept:
        """It for a Store, without what is under way."""
        kept: Kept = {name: getattr(self, name) for name in _KEPT}
        return {
            **kept,
            "opening": list(self.opening),
            "folder": self.folder.decode("latin-1"),
            "since": time.time() - (now - self.since),
        }

    @classmethod
    def load(cls, program: str, kept: Kept, now: float) -> Line:
        """It from a Store: the program's id is its own.

        Args:
            program: that it belongs to.
            kept: what `keep` gave.
            now: seconds, by the clock of `since`.

        Raises:
            KeyError, TypeError, ValueError: the Store has something else.
        """
        length, opening = kept["opening"]
        line = cls(program, program, opening=(int(length), int(opening)))
        for name in _KEPT:
            setattr(line, name, type(getattr(line, name))(kept[name]))
        line.folder = kept["folder"].encode("latin-1")
        line.since = line.began = now - max(0.0, time.time() - kept["since"])
        return line


_KEPT = ("kind", "lead", "tools", "size", "answer", "asks", "failed", "calls", "start", "pause")
