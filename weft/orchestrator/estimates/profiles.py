"""Profiles: what was learned of programs, their stages and their tools."""

from __future__ import annotations

import itertools
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from weft.errors import StoreError, UsageError
from weft.orchestrator.estimates.distribution import Distribution
from weft.orchestrator.estimates.graphs import Graphs, Remaining

if TYPE_CHECKING:
    from weft.orchestrator.program import Program
    from weft.store.store import Store

_ANSWER = 256  # tokens, where there is no experience
_CALLS = 8  # of a program, where there is none
_PART = 32  # profiles that are written at once while others wait
_GRAPHS = 4  # execution graphs, for the same reason
_TOOL = Distribution.log_normal(1.0, 30.0, "no experience of tools: median 1 s, p95 30 s")

_BACK = 0.95  # of those that go on are back when a silent one counts as ended at the latest
_SPREAD = 2.0  # times as long as announced takes one in 20

_Key = tuple[str, ...]
_WORDS = {
    "answers": "answers",
    "tools": "uses",
    "calls": "finished runs",
    "growth": "calls",
    "returns": "first calls",
    "silence": "programs that fell silent",
}


@dataclass(slots=True)
class Estimate:
    """A number that is expected, and why.

    Attributes:
        value: its mean.
        of: what it rests on: "answers of plan in fix", "no experience: 256".
        samples: how many of them.
    """

    value: float
    of: str
    samples: int | None = None

    @property
    def source(self) -> str:
        """What it rests on, for people: "42 answers of plan in fix", "no experience: 256"."""
        return self.of if self.samples is None else f"{self.samples} {self.of}"


class Profiles:
    """Length of answers, number of calls and time of tools, as programs showed them.

    Each kind is learned under the program's name and its stage or tool, under the name alone,
    and over all programs. The first of these that has enough samples answers; where none has,
    a stated prior does. Numbers of calls are learned from programs that ended; those that run
    teach nothing yet, so right after a start short programs are seen before long ones.

    Args:
        store: where they are kept; what it knows is there from the start.
        enough: samples that make an answer.
        half_life: samples after which an older one weighs half.
        most: keys that are kept; those not used for longest go.

    Attributes:
        graphs: the steps of programs, which make `remaining` and `steps_to`.

    Raises:
        StoreError: the store's profiles can't be read.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        enough: int = 5,
        half_life: float = 500,
        most: int = 2000,
    ) -> None:
        if most < 9:
            raise UsageError(f"most={most} of profiles must be at least 9")
        self._store, self._enough, self._half_life, self._most = store, enough, half_life, most
        self.graphs = Graphs(store, enough=enough)
        self._known: OrderedDict[_Key, Distribution] = OrderedDict()
        self._answering: dict[_Key, _Key] = {}  # which key has enough; () for none
        self._changed: set[_Key] = set()
        self._dropped: set[_Key] = set()
        for text, kept in (store.profiles() if store is not None else {}).items():
            try:
                key = _parse(text)
                known = Distribution.load(json.loads(kept), half_life, _words(key))
            except (ValueError, UsageError):
                raise StoreError(
                    f"profile {text} in store {store and store.name} can't be read; use another"
                ) from None
            self._known[key] = known

    def __len__(self) -> int:
        return len(self._known)

    def learn_answer(self, name: str, stage: str, tokens: int) -> None:
        """A call of this stage got an answer of so many tokens."""
        self._learn(("answers", name, stage), tokens)

    def learn_tool(self, name: str, tool: str, seconds: float) -> None:
        """A program was away with this tool for so long."""
        self._learn(("tools", name, tool), seconds)

    def learn_calls(self, name: str, calls: int) -> None:
        """A program ended after so many calls.

        Of those that never say goodbye, tell it when their lease has expired.
        """
        if calls > 0:
            self._learn(("calls", name), calls)

    def learn_run(self, program: Program) -> None:
        """A program ended: how many calls it made, and in which steps."""
        self.learn_calls(program.name, program.calls)
        self.graphs.learn(program)

    def learn_growth(self, name: str, tokens: int) -> None:
        """A program's context grew by so many tokens from one call to the next."""
        self._learn(("growth", name), tokens)

    def growth(self, name: str, prior: float) -> float:
        """Tokens that a context grows by with each call; `prior` without experience."""
        known = self._find(("growth", name))
        return prior if known is None else known.mean

    def learn_return(self, name: str, back: bool) -> None:
        """A program made a second call, or seems to have had only one."""
        self._learn(("returns", name), float(back))

    def fell_silent(self, name: str, calls: int) -> None:
        """A program that has made so many calls seems to make no more, at least for long."""
        self._learn(("silence", name), calls)

    def returns(self, name: str) -> float:
        """The share of programs that come back after their first call; 1 without experience."""
        known = self._find(("returns", name))
        return 1.0 if known is None else known.mean

    def answer_tokens(self, name: str, stage: str, prior: int = _ANSWER) -> Estimate:
        """The length of an answer; `prior` tokens where there is no experience."""
        known = self._find(("answers", name, stage))
        if known is None:
            return Estimate(prior, f"no experience: {prior}")
        return Estimate(known.mean, known.of, known.count)

    def answers_of(self, name: str, stage: str) -> Distribution | None:
        """Tokens of the answers of this stage alone, however few; None if there were none."""
        return self._known.get(("answers", name, stage))

    def further_calls(self, name: str, done: int) -> Estimate:
        """How many calls a program will still make after those done, if it makes one more."""
        known = self._find(("calls", name))
        if known is None:
            return Estimate(_CALLS + done, f"no experience: {_CALLS} and as many as there were")
        return Estimate(known.mean_beyond(done), known.of, known.count)

    def remaining(self, program: Program) -> Remaining:
        """What a live program still has before it: calls, tokens, seconds of critical path.

        Each is None where nothing is known. Announced numbers are believed before learned ones.
        """
        return self.graphs.remaining(program)

    def steps_to(self, program: Program, stage: str | None = None) -> tuple[float, float] | None:
        """The chance that a live program comes to a stage, and the steps to it if it does.

        By default the stage that it is at, whose prefix it uses again then. A step is a call, or
        a fan-out's calls of one stage; the next step is 1. None if nothing is known.
        """
        return self.graphs.steps_to(program, stage)

    def goes_on(self, name: str, done: int) -> float:
        """The chance that a program soon makes another call after those done, one or more.

        By when others fell silent; without experience that of the mean of `further_calls`.
        """
        known = self._find(("returns", name)) if done == 1 else None
        if known is not None:
            return known.mean
        known = self._find(("silence", name)) or self._find(("calls", name))
        return 1 - 1 / (_CALLS + done) if known is None else known.lasts(done - 0.5, 1.0)

    def tool(self, name: str, tool: str) -> Distribution:
        """Seconds that a program is away with a tool; its `source` says what they rest on."""
        return self._find(("tools", name, tool)) or _TOOL

    def knows_tool(self, name: str, tool: str) -> bool:
        """Whether programs of this name have waited for this tool."""
        return ("tools", name, tool) in self._known

    def away(self, program: Program) -> Distribution:
        """Seconds that a program, between two calls, is away: as it announced, or by its tool."""
        if program.expects is not None:
            return _announced(program.expects)
        return self.tool(program.name, program.tool)

    def gone_after(self, program: Program) -> float:
        """Seconds without a call after which a program has more likely ended than not.

        Infinite for a program that tells of its end. Of those that may end without a word it is
        the time by which so many of those that go on are back that most of the silent ones that
        are left have ended (Bayes). It is at most the 95% quantile of the tool's time, since
        experience of ends comes late: with their lease.
        """
        if not program.silent:
            return math.inf
        done = program.calls
        if done == 1:
            back = self.returns(program.name)
        else:
            known = self._find(("calls", program.name))
            back = 1 - 1 / (_CALLS + done) if known is None else known.lasts(done - 0.5, 1.0)
        share = min(_BACK, 2 - 1 / back) if back > 0.5 else 0.0
        return self.away(program).quantile(share)

    def calls(self, name: str) -> Distribution | None:
        """Calls of a whole program; None without experience."""
        return self._find(("calls", name))

    def save(self) -> None:
        """Write what changed into the store.

        Raises:
            StoreError: it can't be written; the next time tries again.
        """
        with self._part(len(self._changed), self.graphs.changed) as write:
            write()

    async def save_aside(self) -> None:
        """The same in a worker thread, in parts that hold nobody up.

        Raises:
            StoreError: it can't be written; the next time tries again.
        """
        parts = max(1, -(-len(self._changed) // _PART), -(-self.graphs.changed // _GRAPHS))
        for _ in range(parts):
            with self._part(_PART, _GRAPHS) as write:
                await anyio.to_thread.run_sync(write, abandon_on_cancel=True)

    @contextmanager
    def _part(self, most: int, graphs: int) -> Generator[Callable[[], None]]:
        """So much of what changed as something that writes it; what fails remains to be done."""
        keys = list(itertools.islice(self._changed, most))
        changed = {key: self._known[key].dump() for key in keys}
        self._changed.difference_update(keys)
        dropped, self._dropped = self._dropped, set()
        write_graphs, undo = self.graphs.part(graphs)

        def write() -> None:
            if self._store is not None and (changed or dropped):
                texts = {json.dumps(key): json.dumps(known) for key, known in changed.items()}
                self._store.keep_profiles(texts, [json.dumps(key) for key in dropped])
            write_graphs()

        try:
            yield write
        except BaseException:
            undo()
            self._changed.update(key for key in keys if key in self._known)
            self._dropped.update(key for key in dropped if key not in self._known)
            raise

    def _learn(self, key: _Key, value: float) -> None:
        # From the special to the general, so that the general is dropped last.
        all_known, part = self._known, key
        while part:
            known = all_known.get(part)
            if known is None:
                known = all_known[part] = Distribution(self._half_life, _words(part))
                self._dropped.discard(part)
            known.add(value)
            if known.count == self._enough:
                self._answering.clear()
            all_known.move_to_end(part)
            self._changed.add(part)
            part = part[:-1]
        while len(all_known) > self._most:
            part, _ = all_known.popitem(last=False)
            self._answering.clear()
            self._changed.discard(part)
            self._dropped.add(part)

    def _find(self, key: _Key) -> Distribution | None:
        part = self._answering.get(key)
        if part is None:
            part = self._answer_of(key)
        if not part:
            return None
        self._known.move_to_end(part)
        return self._known[part]

    def _answer_of(self, key: _Key) -> _Key:
        """Which of the key and the more general ones has enough samples; () for none."""
        part = key
        while part and ((known := self._known.get(part)) is None or known.count < self._enough):
            part = part[:-1]
        if len(self._answering) >= self._most:
            self._answering.clear()
        self._answering[key] = part
        return part


@lru_cache(maxsize=256)
def _announced(seconds: float) -> Distribution:
    return Distribution.log_normal(seconds, _SPREAD * seconds, f"announced: {seconds:g} s")


def _words(key: _Key) -> str:
    names = [name for name in reversed(key[1:]) if name]
    return f"{_WORDS[key[0]]} of {' in '.join(names) or 'all programs'}"


def _parse(text: str) -> _Key:
    key = tuple(str(part) for part in json.loads(text))
    if not key or key[0] not in _WORDS:
        raise ValueError
    return key
