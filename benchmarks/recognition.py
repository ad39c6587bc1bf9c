"""How well conversations without an id are told apart, on recorded sessions of coding agents.

    python benchmarks/recognition.py SESSIONS.jsonl.gz

Sessions are played in virtual time into what `weft serve` recognises conversations with. All have
the same system prompt and tools, so nothing but their messages tells them apart. A prompt that
shares no more than these with the one before begins anew, as after compaction.

Of all pairs of calls: *precision* is the share of those put into one program that are of one
session, *recall* the share of those of one session that were put into one program. *Mixed* are
programs with calls of more than one session. CPU time is that of a call, best of the passes.
"""

from __future__ import annotations

import argparse
import gzip
import heapq
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import shake_128
from typing import Any

from weft.service.recognition.conversations import Conversations
from weft.service.recognition.known_requests import ConversationPlace

LEAD = (b'[{"name":"bash","description":"Runs a command."}]', b"system\nYou edit code.")
SLACK = 20
"""Blocks that two prompts may share behind the system prompt, and yet not be of one history."""
SPEED = 60.0
"""Tokens a second, where the recorded service's time is not known."""


class Clock:
    """Virtual seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def text(name: str, tokens: int, scale: float) -> bytes:
    """A text of so many tokens, four bytes each, that nobody else says."""
    return shake_128(name.encode()).hexdigest(max(8, int(2 * tokens * scale))).encode()


def blocks(call: dict[str, Any]) -> list[int]:
    """The ids of a prompt's blocks."""
    return [first + at for first, count in call["blocks"] for at in range(count)]


@dataclass
class Session:
    """One recorded session, and where it stands."""

    id: str
    calls: list[dict[str, Any]]
    scale: float
    lead: tuple[bytes, ...]
    system: int
    said: list[bytes] = field(default_factory=list[bytes])
    tokens: int = 0
    number: int = 0

    def ask(self) -> list[bytes]:
        """The pieces of the next prompt."""
        call = self.calls[self.number]
        if self.number and self._is_anew(self.calls[self.number - 1], call):
            self.said, self.tokens = [], 0
        more = max(16, call["in"] - self.tokens)
        self.said.append(b"user\n" + text(f"{self.id}:{self.number}", more, self.scale))
        self.tokens += more
        return [*self.lead, *self.said]

    def _is_anew(self, before: dict[str, Any], call: dict[str, Any]) -> bool:
        known, now = blocks(before), blocks(call)
        return (
            len(known) > self.system + SLACK
            and known[: self.system + SLACK] != now[: self.system + SLACK]
        )

    def answered(self) -> None:
        """Take the answer into the history."""
        call = self.calls[self.number]
        answer = text(f"{self.id}:a{self.number}", call["out"], self.scale)
        self.said.append(b"assistant\n" + answer)
        self.tokens += call["out"]
        self.number += 1


def sessions(path: str, count: int, most: int, scale: float, seed: int) -> Iterator[Session]:
    """Some of the recorded sessions; their sub-agents are sessions of their own."""
    with gzip.open(path, "rt") as lines:
        found = [json.loads(line) for line in lines]
    random.Random(seed).shuffle(found)
    for one in found[:count]:
        calls = [call for call in one["calls"] if "in" in call][:most]
        if calls:
            system = (one["tool_tokens"] + one["system_tokens"]) // one["block_size"]
            yield Session(one["id"], calls, scale, LEAD, system)


def play(played: list[Session], spread: float, seed: int) -> tuple[Counter[tuple[str, str]], float]:
    """Calls by program and session, and CPU seconds of a call."""
    drawn, clock = random.Random(seed), Clock()
    known = Conversations(clock=clock)
    due: list[tuple[float, int, int, ConversationPlace | None]] = []
    count = 0
    for at, _ in enumerate(played):
        heapq.heappush(due, (drawn.random() * spread, count, at, None))
        count += 1
    found: Counter[tuple[str, str]] = Counter()
    took = calls = 0.0
    while due:
        clock.now, _, at, place = heapq.heappop(due)
        session, count = played[at], count + 1
        call = session.calls[session.number]
        begun = time.process_time()
        if place is None:
            pieces = session.ask()
            begun = time.process_time()
            place = known.find("", "m", pieces, 64)
            took += time.process_time() - begun
            calls += 1
            found[place.program, session.id] += 1
            lasts = call.get("api") or call["out"] / SPEED
            heapq.heappush(due, (clock.now + lasts, count, at, place))
            continue
        tool = "bash" if call["stop"] == "tool_use" else ""
        known.end(place, prompt=session.tokens, generated=call["out"], tool=tool)
        took += time.process_time() - begun
        session.answered()
        if session.number < len(session.calls):
            think = session.calls[session.number].get("think") or 1.0
            heapq.heappush(due, (clock.now + think, count, at, None))
    return found, took / calls


def main() -> None:
    """Play and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path")
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--calls", type=int, default=60, help="most of a session")
    parser.add_argument("--spread", type=float, default=600.0, help="seconds in which they begin")
    parser.add_argument("--scale", type=float, default=0.05, help="of the prompts' lengths")
    parser.add_argument("--passes", type=int, default=3, help="each of other sessions")
    options = parser.parse_args()
    for seed in range(options.passes):
        given = options.path, options.sessions, options.calls, options.scale, seed
        played = list(sessions(*given))
        found, took = play(played, options.spread, seed)
        programs, whole = Counter[str](), Counter[str]()
        for (program, session), count in found.items():
            programs[program] += count
            whole[session] += count
        both = sum(n * (n - 1) for n in found.values())
        put = sum(n * (n - 1) for n in programs.values())
        true = sum(n * (n - 1) for n in whole.values())
        holders = Counter(program for program, _ in found)
        mixed = sum(1 for n in holders.values() if n > 1)
        print(
            f"pass {seed}: {len(whole)} sessions, {sum(whole.values())} calls, "
            f"{len(programs)} programs, {mixed} mixed; precision {both / put:.3f}, "
            f"recall {both / true:.3f}; {took * 1e6:.0f} us a call"
        )


if __name__ == "__main__":
    main()
