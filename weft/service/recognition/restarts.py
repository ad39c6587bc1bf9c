"""Restarts: a conversation that stopped, and one that begins where it was."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from weft.service.recognition.folders import folder_in
from weft.service.recognition.known_requests import History, digest
from weft.service.recognition.line import Kept, Line
from weft.service.recognition.quotes import Quotes

_MOST = 20_000  # conversations that are remembered
_LONG = 4096  # bytes of a prompt that could be made shorter after the first call
_NEAR = 0.997  # of what was sent and answered before: a history that is told anew
_OVER = 1.004
_AT_ONCE = 64  # conversations of one kind that may have stopped
_LEAD = 40  # bytes of a first message that tell a form from another


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
    its own with more behind it: the client keeps the task and writes its summary there. Or it
    begins with what another one of the same agent answered last: that was its summary.

    If that was wrong, the conversation that was thought to have stopped goes on. Then the other
    one gets another program. How its first message began is remembered: forms that tasks are
    given in, and forms of summaries, are told apart by what became of the first of each.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: OrderedDict[str, Line] = OrderedDict()
        # By kind and program, the latest at the end: what may have stopped.
        self._tails: dict[int, OrderedDict[str, Line]] = {}
        self._forms: OrderedDict[int, bool] = OrderedDict()  # whether a lead is that of summaries
        self._quotes = Quotes()

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
        line = self._lines[id] = Line(id, id, kind, lead, began=now)
        line.opening = len(history.body[0]), history.chain[0]
        line.tools = history.lead[0].startswith(b"[")
        line.folder = folder_in(history.body[0])
        line.start = sum(map(len, history.lead)) + sum(map(len, history.body))
        form = self._forms.get(lead)
        found = self._extended(line, history, now)
        if found is not None:
            line.opening = found.opening  # of the next summary the task is the beginning too
        elif (found := self._quoted(line, history)) is None and form is not False:
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
            if now - line.since > line.pause:
                line.pause = now - line.since
            if line.heir is not None:
                self._part(line)
        line.calls += 1
        line.live += 1
        line.size = size
        return line.program

    def answer(self, id: str, size: float, asks: str, failed: bool, text: str = "") -> None:
        """A request of a conversation is over.

        Args:
            id: of the conversation.
            size: bytes of the answer, about.
            asks: the tool that the answer asks for.
            failed: whether there is no whole answer.
            text: its end, if it may be a summary.
        """
        line = self._lines.get(id)
        if line is not None and line.live:
            line.live -= 1
            line.since, line.answer = self._clock(), size
            line.asks, line.failed = asks, failed
            if text:
                self._quotes.remember(id, line.kind, text)
            if line.calls > 1 or asks or line.size >= _LONG or line.program != id:
                self._keep(line)

    def end_program(self, program: str) -> None:
        """A program is over: nothing goes on with it but its own conversations."""
        line = self._lines.get(program)
        if line is not None:
            self._drop(line.kind, program)

    def keep(self, program: str) -> Kept | None:
        """What must be known of a program after a restart of the service; None if nothing."""
        first = self._lines.get(program)
        if first is None or first.program != program:
            return None
        last = first.chain()[-1]
        forms = {str(one.lead): self._forms.get(one.lead) for one in (first, last)}
        said = list(self._quotes.said_by(last.id))
        return {**last.keep(self._clock()), "forms": forms, "said": said}

    def load(self, program: str, kept: Kept) -> None:
        """Know a program again.

        Args:
            program: its id.
            kept: what `keep` gave.

        Raises:
            KeyError, TypeError, ValueError: that is something else.
        """
        line = Line.load(program, kept, self._clock())
        forms = {int(lead): bool(form) for lead, form in kept["forms"].items() if form is not None}
        said = [int(one) for one in kept["said"]]
        self._lines[program] = line
        self._forms |= forms
        self._quotes.know(program, said)
        self._keep(line)

    def _quoted(self, line: Line, history: History) -> Line | None:
        """The conversation whose last answer a new one begins with, if there is one."""
        found = self._lines.get(self._quotes.find(line.kind, history.body))
        if found is None:
            return None
        last = found.chain()[-1]
        return None if last is line or last.live else last

    def _stopped(self, line: Line, before: float) -> Line | None:
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

    def _extended(self, line: Line, history: History, now: float) -> Line | None:
        """The one that failed, if there is one only, of whose first message this one is more."""
        tails = self._tails.get(line.kind)
        if tails is None:
            return None
        found = [
            one
            for one in tails.values()
            if one.failed and not one.live and one.lives(now) and _more(history, *one.opening)
        ]
        return found[0] if len(found) == 1 else None

    def _keep(self, line: Line) -> None:
        """Keep a conversation among those of its kind that may have stopped."""
        if line.heir is None:
            tails = self._tails.setdefault(line.kind, OrderedDict())
            tails[line.program] = line
            tails.move_to_end(line.program)
            if len(tails) > _AT_ONCE:
                tails.popitem(last=False)

    def _follow(self, line: Line, stopped: Line) -> None:
        stopped.heir = line
        chain = line.chain()
        for one in chain:
            self._forget(one)
            one.program = stopped.program
        self._tails.setdefault(line.kind, OrderedDict())[stopped.program] = chain[-1]

    def _part(self, line: Line) -> None:
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

    def _forget(self, line: Line) -> None:
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
        self._quotes.forget(line.id)
        while len(self._forms) > _MOST:
            self._forms.popitem(last=False)


def _more(history: History, length: int, known: int) -> bool:
    """Whether a first message is a known one with more behind it."""
    message = history.body[0]
    return _LEAD <= length < len(message) and digest(message[:length], history.root) == known
