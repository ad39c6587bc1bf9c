"""Agents whose clients send no id, played into what recognises conversations."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from weft.service.recognition.conversations import Conversations
from weft.service.recognition.known_requests import ConversationPlace

SYSTEM = b"system\nYou edit code."
TOOLS = b'[{"name":"bash"}]'


def words(seed: object, count: int) -> bytes:
    drawn = random.Random(repr(seed))
    return b" ".join(b"%04x" % drawn.getrandbits(16) for _ in range(count))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Agent:
    """A session of which the client sends no id."""

    known: Conversations
    name: str
    lead: tuple[bytes, ...] = (SYSTEM,)
    tool: str = ""
    host: str = ""
    said: list[bytes] = field(default_factory=list[bytes])
    programs: list[str] = field(default_factory=list[str])
    live: ConversationPlace | None = None

    def ask(self, count: int = 200, text: bytes = b"") -> str:
        more = text or words((self.name, len(self.programs)), count)
        self.said.append(b"user\n" + more)
        pieces = [*self.lead, *self.said]
        self.live = self.known.find("", "m", pieces, 64, host=self.host)
        self.programs.append(self.live.program)
        return self.live.program

    def answered(self, count: int = 50, tool: str | None = None, failed: bool = False) -> None:
        assert self.live is not None
        asks = self.tool if tool is None else tool
        self.known.end(self.live, generated=count * 5 // 4, tool=asks, failed=failed)
        self.said.append(b"assistant\n" + words((self.name, "a", len(self.programs)), count))

    def call(self, count: int = 200) -> str:
        program = self.ask(count)
        self.answered()
        return program

    def compact(self) -> None:
        self.said = []
