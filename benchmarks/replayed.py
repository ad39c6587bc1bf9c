"""Recorded sessions as coding agents that speak chat completions over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from load import KEY
from weft.simulation.workload import Job, PlannedCall
from words import text

TRIES = 3
"""Of a call, as the official clients do; 0.5 s, 1 s ... in between, or what the server says."""

Message = dict[str, str]


@dataclass(frozen=True)
class Script:
    """What one session does: its turns, and the system prompt's parts, some shared."""

    id: str
    system: str
    turns: tuple[PlannedCall, ...]


def scripts(jobs: Sequence[Job], block_size: int, salt: str) -> list[Script]:
    """The sessions under a salt; those with another one share nothing with them.

    Sessions share as much of their system prompts as the first prompts of the recorded ones do.
    """
    turns = [tuple(step for step in job.steps if isinstance(step, PlannedCall)) for job in jobs]
    seen = Counter(block for each in turns for block in each[0].blocks)
    found: list[Script] = []
    for job, each in zip(jobs, turns, strict=True):
        common: list[int] = []
        for block in each[0].blocks[: (each[0].prompt - 4) // block_size]:
            if seen[block] < 2:
                break
            common.append(block)
        system = "".join(text(f"{salt}:{block}", block_size) for block in common)
        found.append(Script(f"{salt}:{job.id}", system or text(f"{salt}:none", 1), each))
    return found


class Conversation:
    """The messages of a session, each turn's with as many tokens as recorded.

    Where a recorded prompt is a little shorter than what came before it, as when an agent drops
    its thoughts, the next message is one word, and later ones are shorter. Where it is much
    shorter (compaction), the conversation begins anew after its system prompt.
    """

    def __init__(self, script: Script, context: int) -> None:
        self._script, self._context = script, context
        self._count = 0
        self.tokens = 0  # of the prompt
        self.messages: list[Message] = []
        self._begin()

    def _begin(self) -> None:
        self.messages = [{"role": "system", "content": self._script.system}]
        self.tokens = 2 + len(self._script.system) // 4  # with the role to answer

    def ask(self, turn: PlannedCall) -> None:
        """Add the message that makes the prompt as long as the turn's."""
        count = turn.prompt - self.tokens - 1
        if self._count and count < 1:
            longest = min(turn.prompt * 5 // 4, self._context - turn.answer - 1)
            if self.tokens + 2 > longest:
                self._begin()
                count = turn.prompt - self.tokens - 1
        self._count += 1
        count = max(1, count)
        content = text(f"{self._script.id}:{self._count}", count)
        self.messages.append({"role": "user", "content": content})
        self.tokens += 1 + count

    def answered(self, answer: str, turn: PlannedCall) -> None:
        """Add the answer."""
        self.messages.append({"role": "assistant", "content": answer})
        self.tokens += turn.answer + 1  # and the role to answer once more


@dataclass
class Outcome:
    """What became of a session. Times are of the monotonic clock."""

    index: int
    arrived: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    prompt: int = 0
    generated: int = 0
    errors: int = 0
    wrong: str = ""
    failed: bool = False
    firsts: list[float] = field(default_factory=list[float])

    @property
    def completion(self) -> float:
        """Seconds from its arrival to its end."""
        return self.ended - self.arrived


class Refused(Exception):
    """An answer that is none; `after` are the seconds to wait before another try."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


async def ask(
    http: aiohttp.ClientSession, url: str, body: dict[str, Any], session: str
) -> tuple[str, dict[str, Any], float]:
    """Send one call and read its stream; the text, the usage, and when its first token came."""
    headers = {"authorization": f"Bearer {KEY}"}
    if session:
        headers["x-session-id"] = session
    parts: list[str] = []
    usage: dict[str, Any] = {}
    first = 0.0
    try:
        async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as got:
            if got.status != 200:
                after = got.headers.get("retry-after", "")
                why = f"status {got.status}: {(await got.text())[:300]}"
                raise Refused(why, float(after) if after.isdigit() else None)
            async for line in got.content:
                if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
                    continue
                event = json.loads(line[5:])
                if "error" in event:
                    raise Refused(f"in the stream: {event['error']}")
                for choice in event.get("choices") or ():
                    if content := choice["delta"].get("content"):
                        first = first or time.monotonic()
                        parts.append(content)
                usage = event.get("usage") or usage
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Refused(f"{type(error).__name__}: {error}") from error
    return "".join(parts), usage, first


async def persistent(
    http: aiohttp.ClientSession, url: str, body: dict[str, Any], session: str, outcome: Outcome
) -> tuple[str, dict[str, Any], float]:
    """`ask`, tried again as the official clients would."""
    for tried in range(TRIES):
        try:
            return await ask(http, url, body, session)
        except Refused as refused:
            outcome.errors += 1
            outcome.wrong = outcome.wrong or str(refused)
            after = 0.5 * 2**tried if refused.after is None else min(60.0, refused.after)
        await asyncio.sleep(after)
    raise Refused(outcome.wrong)


async def play(
    http: aiohttp.ClientSession, url: Route, script: Script, outcome: Outcome, context: int
) -> None:
    """Play a session to its end, or to a call that fails for good."""
    talk = Conversation(script, context)
    for number, turn in enumerate(script.turns):
        talk.ask(turn)
        body = {
            "model": url.model,
            "messages": talk.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": turn.answer,
            "min_tokens": turn.answer,
            "ignore_eos": True,
            "temperature": 0,
        }
        sent = time.monotonic()
        try:
            answer, usage, first = await persistent(
                http, url.next(outcome.index), body, script.id if url.named else "", outcome
            )
        except Refused:
            outcome.failed = True
            break
        outcome.firsts.append(first - sent)
        outcome.prompt += talk.tokens
        outcome.generated += turn.answer
        asked, given = (
            (talk.tokens, turn.answer),
            (
                usage.get("prompt_tokens"),
                usage.get("completion_tokens"),
            ),
        )
        if asked != given or len(answer) != 4 * turn.answer:
            outcome.errors += 1
            outcome.wrong = outcome.wrong or (
                f"{len(answer) / 4:g} words, {given} tokens where {asked} were to be"
            )
        talk.answered(answer, turn)
        if number + 1 < len(script.turns):
            await asyncio.sleep(turn.wait)
    outcome.ended = time.monotonic()


@dataclass
class Route:
    """Where the calls of sessions go.

    Attributes:
        urls: a gateway's alone, or the replicas'.
        model: its name.
        turns: each call goes to the next of `urls`, rather than each session to one of them.
        named: calls name their session.
    """

    urls: Sequence[str]
    model: str
    turns: bool = False
    named: bool = True
    sent: int = 0

    def next(self, session: int) -> str:
        """Where the next call of a session goes."""
        self.sent += 1
        return self.urls[(self.sent if self.turns else session) % len(self.urls)]
