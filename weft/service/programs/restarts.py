"""Restarts: a conversation that stopped, and one that begins where it was."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from weft.service.programs.known_requests import History, digest

_MOST = 20_000  # conversations that are remembered
_LEAST = 1024  # bytes of a prompt that a client would make shorter
_LONG = 4096  # bytes of one that could be made shorter after the first call
_NEAR = 0.997  # of what was sent and answered before: a history that is told anew
_OVER = 1.004
_AT_ONCE = 64  # conversations of one kind that may have stopped
_SOON = 30.0  # seconds
_TIMES = 3.0  # of the longest pause that a conversation has made so far
_LEAD = 40  # bytes of a first message that tell a form from another
_FIRST = 8192  # bytes of a first message in which a folder is looked for
_folder = re.compile(
    rb"(?:[dD]irectory|cwd|[wW]orkspace|[fF]older)[^\n/~\\]{0,16}((?:/|~/|[A-Za-z]:\\)[^\s\"'<>)`]*)"
)
_AGENTS = ("agent", "task", "delegate", "spawn")  # in names of tools that send other agents


@dataclass(slots=True, eq=False)
class _Line:
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
    heir: _Line | None = field(default=None, repr=False)

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

    def chain(self) -> list[_Line]:
        """It and those that began where it was, one after the other."""
        found: list[_Line] = [self]
        while (heir := found[-1].heir) is not None:
            found.append(heir)
        return found


class Restarts:
    """Which program a conversation belongs to that begins anew.

    Clients compact: they give up a history and begin with a summary under the same system
    prompt and tools. What they send has nothing else in common with what they sent. So a
    conversation that begins belongs to the program of one that stopped, if there is one

    - of the same agent: client, key, host, system prompt and tools;
    - in the same folder, as far as their first messages name one;
    - that is not being answered, nor waits for another agent, nor (if it has tools) ended its
      turn, nor has been silent for much longer than ever before;
    - whose last prompt was about as long as this one; or that is longer, and the only one of its
      kind that is known.

    Or its last request failed, as one does that is too long, and the new one's first message is
    its own with more behind it: the client keeps the task and writes its summary there.

    If that was wrong, the conversation that was thought to have stopped goes on. Then the other
    one gets another program. How its first message began is remembered: forms that tasks are
    given in, and forms of summaries, are told apart by what became of the first of each.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        # By kind and program, the latest at the end: what may have stopped.
        self._tails: dict[int, OrderedDict[str, _Line]] = {}
        self._forms: OrderedDict[int, bool] = OrderedDict()  # whether a lead is that of summaries

    def program(self, line: str) -> str:
        """The program that a conversation belongs to."""
        found = self._lines.get(line)
        return line if found is None else found.program

    def begin(self, id: str, history: History, host: str) -> str:
        """A conversation begins; returns its program, which is `id` if that is a new one.

        Args:
            id: of the conversation.
            history: its first request.
            host: of the client.
        """
        if not history.lead:
            return id  # of no kind of agent that could be told from others
        now, kind = self._clock(), digest(host.encode(), history.base ^ history.root)
        lead = digest(history.body[0][:_LEAD].translate(None, b"0123456789")[: _LEAD // 2])
        line = self._lines[id] = _Line(id, id, kind, lead, began=now)
        line.opening = len(history.body[0]), digest(history.body[0])
        line.tools = history.lead[0].startswith(b"[")
        line.folder = _folder_in(history.body[0])
        line.start = sum(map(len, history.lead)) + sum(map(len, history.body))
        form = self._forms.get(lead)
        found = self._extended(line, history.body[0], now)
        if found is not None:
            line.opening = found.opening  # of the next summary the task is the beginning too
        elif form is not False:
            found = self._stopped(line, now)
        if found is not None:
            self._follow(line, found)
        if form is None:
            self._forms[lead] = found is not None
        if len(self._lines) > _MOST:
            self._trim()
        return line.program

    def ask(self, id: str, size: int) -> str:
        """A request of a conversation has come; returns its program."""
        line = self._lines.get(id)
        if line is None:
            return id
        now = self._clock()
        self._lines.move_to_end(id)
        if line.calls:
            line.pause = max(line.pause, now - line.since)
            if line.heir is not None:
                self._part(line)
        line.calls += 1
        line.live += 1
        line.size = size
        return line.program

    def answer(self, id: str, size: float, asks: str, failed: bool) -> None:
        """A request of a conversation is over.

        Args:
            id: of the conversation.
            size: bytes of the answer, about.
            asks: the tool that the answer asks for.
            failed: whether there is no whole answer.
        """
        line = self._lines.get(id)
        if line is not None and line.live:
            line.live -= 1
            line.since, line.answer = self._clock(), size
            line.asks, line.failed = asks, failed
            if line.calls > 1 or asks or line.size >= _LONG or line.program != id:
                self._keep(line)

    def end_program(self, program: str) -> None:
        """A program is over: nothing goes on with it but its own conversations."""
        line = self._lines.get(program)
        if line is not None:
            self._drop(line.kind, program)

    def _stopped(self, line: _Line, before: float) -> _Line | None:
        """The conversation that a new one goes on with, if there is one."""
        tails = self._tails.get(line.kind)
        if not tails:
            return None
        others = [
            one
            for one in tails.values()
            if one is not line
            and one.lives(before)
            and not (one.folder and line.folder and one.folder != line.folder)
        ]
        stopped = [one for one in others if one.can_have_stopped(before)]
        size = line.start
        near = [one for one in stopped if one.held * _NEAR <= size <= one.held * _OVER]
        if near:
            return min(near, key=lambda one: abs(one.held - size))
        alone = len(others) == len(stopped) == 1
        return stopped[0] if alone and stopped[0].calls > 1 and size < stopped[0].size else None

    def _extended(self, line: _Line, first: bytes, now: float) -> _Line | None:
        """The one that failed, if there is one only, of whose first message this one is more."""
        tails = self._tails.get(line.kind)
        if tails is None:
            return None
        found = [
            one
            for one in tails.values()
            if one.failed and not one.live and one.lives(now) and _more(first, *one.opening)
        ]
        return found[0] if len(found) == 1 else None

    def _keep(self, line: _Line) -> None:
        """Keep a conversation among those of its kind that may have stopped."""
        if line.heir is None:
            tails = self._tails.setdefault(line.kind, OrderedDict())
            tails[line.program] = line
            tails.move_to_end(line.program)
            if len(tails) > _AT_ONCE:
                tails.popitem(last=False)

    def _follow(self, line: _Line, stopped: _Line) -> None:
        stopped.heir = line
        chain = line.chain()
        for one in chain:
            self._forget(one)
            one.program = stopped.program
        self._tails[line.kind][stopped.program] = chain[-1]

    def _part(self, line: _Line) -> None:
        """A conversation goes on that was thought to have stopped."""
        heir, line.heir = line.heir, None
        assert heir is not None
        self._forms[heir.lead] = False
        chain = heir.chain()
        self._forget(chain[-1])
        for one in chain:
            one.program = heir.id
        self._keep(chain[-1])
        found = self._stopped(heir, heir.began)
        if found is not None and found not in chain:
            self._follow(heir, found)

    def _forget(self, line: _Line) -> None:
        tails = self._tails.get(line.kind)
        if tails is not None and tails.get(line.program) is line:
            self._drop(line.kind, line.program)

    def _drop(self, kind: int, program: str) -> None:
        """Nothing of a program may have stopped; a kind without any is forgotten."""
        tails = self._tails.get(kind)
        if tails is not None:
            tails.pop(program, None)
            if not tails:
                del self._tails[kind]

    def _trim(self) -> None:
        _, line = self._lines.popitem(last=False)
        self._forget(line)
        while len(self._forms) > _MOST:
            self._forms.popitem(last=False)


def _more(message: bytes, length: int, known: int) -> bool:
    """Whether a message is a known one with more behind it."""
    return _LEAD <= length < len(message) and digest(message[:length]) == known


def _folder_in(message: bytes) -> bytes:
    """The first folder that a message names as the one that is worked in; empty if none."""
    head = message[:_FIRST]
    if not (b"irectory" in head or b"cwd" in head or b"orkspace" in head or b"older" in head):
        return b""
    found = _folder.search(head)
    return found[1].rstrip(b"/.,:;") if found is not None else b""
