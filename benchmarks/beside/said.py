"""What the model says to the programs, and an engine that counts what it is asked and writes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from weft import ScriptedEngine, ToolCall
from weft.backends.scripted.engine import Scripted
from weft.backends.scripted.requests import Admitted
from weft.types import Delta, Request

TOKEN = 0.002
"""Seconds for each token: 500 a second. A token is a character."""


def words(count: int) -> str:
    """A text of so many characters."""
    return ("because the tables say so, " * (count // 20))[:count]


@dataclass(eq=False)
class Asked:
    """One request to the engine.

    Attributes:
        key: the conversation that is to be continued.
        prompt: its tokens.
        at: when each token of the answer was there.
        done: whether the answer came to its end.
        left: when the engine saw that nobody waits for the answer any more.
    """

    key: str
    prompt: int
    at: list[float] = field(default_factory=list[float])
    done: bool = False
    left: float | None = None

    @property
    def tokens(self) -> int:
        """Of prompt and answer."""
        return self.prompt + len(self.at)


class Counting(ScriptedEngine):
    """Counts requests and tokens, and when requests are aborted.

    Attributes:
        asked: all requests.
        attempts: how often each attempt of the vote was answered, in the run that goes on. One
            that was aborted is free again: so a program that is resumed has the same attempts.
    """

    def __init__(self) -> None:
        super().__init__(self.say, model="scripted", token_seconds=TOKEN, concurrency=64)
        self.asked: list[Asked] = []
        self.attempts = Counter[int]()
        self._given: dict[str, int] = {}

    def say(self, request: Request) -> str | Scripted:
        """By the rules that the conversation begins with."""
        rules = request.messages[0].content
        if not rules.startswith("Answer by one SQLite"):
            return coding(request) if rules.startswith("Mend") else rag(request)
        if "no such column" in request.messages[-1].content:
            return query(60, RIGHT)
        number = min(range(len(ATTEMPTS)), key=lambda at: (self.attempts[at], at))
        self.attempts[number] += 1
        self._given[request.id] = number
        return query(*ATTEMPTS[number])

    async def perform(self, job: Admitted, on_delta: Callable[[Delta], None]) -> None:
        key = json.dumps([(turn.role, turn.whole) for turn in job.request.messages])
        asked = Asked(key, len(job.tokens))
        self.asked.append(asked)

        def told(delta: Delta) -> None:
            asked.at += [time.monotonic()] * delta.count
            on_delta(delta)

        try:
            await super().perform(job, told)
        except anyio.get_cancelled_exc_class():
            asked.left = time.monotonic()
            if (number := self._given.get(job.request.id)) is not None:
                self.attempts[number] -= 1
            raise
        asked.done = True


JOIN = "from readers join loans on id = reader group by id order by"
RIGHT, WRONG = f"select name {JOIN} count(*) desc limit 1", f"select name {JOIN} books desc limit 1"
ATTEMPTS = [(60, RIGHT), (60, WRONG), (600, RIGHT), (1500, WRONG), (1500, RIGHT)]
"""Of each attempt how long its reason is, and its query."""


def query(reason: int, sql: str) -> str:
    """An attempt of the vote."""
    return json.dumps({"reason": words(reason), "sql": sql})


def coding(request: Request) -> Scripted:
    """One call a turn; then two at once behind a long text."""

    def calls(*given: tuple[str, dict[str, str]], text: str = "") -> Scripted:
        return Scripted(text, tools=[ToolCall(name, about) for name, about in given])

    results = sum(turn.role == "tool" for turn in request.messages)
    mended = {"old": "year % 4 == 0", "new": "year % 4 == 0 and (year % 100 or not year % 400)"}
    turns = {
        0: calls(("read", {})),
        1: calls(("replace", {"old": "(year)", "new": "(year):"})),
        2: calls(("test", {})),
        3: calls(("replace", mended)),
        4: calls(("commit", {"message": "leap years"}), ("test", {}), text=words(400)),
    }
    return turns.get(results, Scripted("I mended dates.py."))


def rag(request: Request) -> str:
    """A search for what the last passage names, until the town is there."""
    known = "\n".join(turn.content for turn in request.messages)
    step: dict[str, str | None] = {"search": None, "answer": None}
    if "[Ferry]" in known and "river Aare" in known:
        step["answer"] = "Bern"
    else:
        step["search"] = "ferry Aare kilometres" if "[Mill]" in known else "old mill house river"
    return json.dumps({"thought": words(300)} | step)
