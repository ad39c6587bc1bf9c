"""Profiles: what was learned of programs, their stages and their tools."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from weft.orchestrator.estimates.distribution import Distribution
from weft.orchestrator.estimates.experience import Experience
from weft.orchestrator.estimates.graphs import Graphs, Remaining

if TYPE_CHECKING:
    from weft.orchestrator.programs.program import Program
    from weft.store.store import Store

_ANSWER = 256  # tokens, where there is no experience
_CALLS = 8  # of a program, where there is none
_PART = 32  # profiles that are written at once while others wait
_GRAPHS = 4  # execution graphs, for the same reason
_TOOL = Distribution.log_normal(1.0, 30.0, "no experience of tools: median 1 s, p95 30 s")

_BACK = 0.95  # of those that go on are back when a silent one counts as ended at the latest
_SPREAD = 2.0  # times as long as announced takes one in 20


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
        self.graphs = Graphs(store, enough=enough)
        self._experience = Experience(store, enough=enough, half_life=half_life, most=most)

    def __len__(self) -> int:
        return len(self._experience)

    def learn_answer(self, name: str, stage: str, tokens: int) -> None:
        """A call of this stage got an answer of so many tokens."""
        self._experience.learn(("answers", name, stage), tokens)

    def learn_tool(self, name: str, tool: str, seconds: float) -> None:
        """A program was away with this tool for so long."""
        self._experience.learn(("tools", name, tool), seconds)

    def learn_calls(self, name: str, calls: int) -> None:
        """A program ended after so many calls.

        Of those that never say goodbye, tell it when their lease has expired.
        """
        if calls > 0:
            self._experience.learn(("calls", name), calls)

    def learn_run(self, program: Program) -> None:
        """A program ended: how many calls it made, and in which steps."""
        self.learn_calls(program.name, program.calls)
        self.graphs.learn(program)

    def learn_growth(self, name: str, tokens: int) -> None:
        """A program's context grew by so many tokens from one call to the next."""
        self._experience.learn(("growth", name), tokens)

    def growth(self, name: str, prior: float) -> float:
        """Tokens that a context grows by with each call; `prior` without experience."""
        known = self._experience.find(("growth", name))
        return prior if known is None else known.mean

    def learn_return(self, name: str, back: bool) -> None:
        """A program made a second call, or seems to have had only one."""
        self._experience.learn(("returns", name), float(back))

    def fell_silent(self, name: str, calls: int) -> None:
        """A program that has made so many calls seems to make no more, at least for long."""
        self._experience.learn(("silence", name), calls)

    def returns(self, name: str) -> float:
        """The share of programs that come back after their first call; 1 without experience."""
        known = self._experience.find(("returns", name))
        return 1.0 if known is None else known.mean

    def answer_tokens(self, name: str, stage: str, prior: int = _ANSWER) -> Estimate:
        """The length of an answer; `prior` tokens where there is no experience."""
        known = self._experience.find(("answers", name, stage))
        if known is None:
            return Estimate(prior, f"no experience: {prior}")
        return Estimate(known.mean, known.of, known.count)

    def answers_of(self, name: str, stage: str) -> Distribution | None:
        """Tokens of the answers of this stage alone, however few; None if there were none."""
        return self._experience.of(("answers", name, stage))

    def further_calls(self, name: str, done: int) -> Estimate:
        """How many calls a program will still make after those done, if it makes one more."""
        known = self._experience.find(("calls", name))
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
        known = self._experience.find(("returns", name)) if done == 1 else None
        if known is not None:
            return known.mean
        known = self._experience.find(("silence", name)) or self._experience.find(("calls", name))
        return 1 - 1 / (_CALLS + done) if known is None else known.lasts(done - 0.5, 1.0)

    def tool(self, name: str, tool: str) -> Distribution:
        """Seconds that a program is away with a tool; its `source` says what they rest on."""
        return self._experience.find(("tools", name, tool)) or _TOOL

    def knows_tool(self, name: str, tool: str) -> bool:
        """Whether programs of this name have waited for this tool."""
        return self._experience.of(("tools", name, tool)) is not None

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
            known = self._experience.find(("calls", program.name))
            back = 1 - 1 / (_CALLS + done) if known is None else known.lasts(done - 0.5, 1.0)
        share = min(_BACK, 2 - 1 / back) if back > 0.5 else 0.0
        return self.away(program).quantile(share)

    def calls(self, name: str) -> Distribution | None:
        """Calls of a whole program; None without experience."""
        return self._experience.find(("calls", name))

    def save(self) -> None:
        """Write what changed into the store.

        Raises:
            StoreError: it can't be written; the next time tries again.
        """
        with self._part(self._experience.changed, self.graphs.changed) as write:
            write()

    async def save_aside(self) -> None:
        """The same in a worker thread, in parts that hold nobody up.

        Raises:
            StoreError: it can't be written; the next time tries again.
        """
        parts = max(1, -(-self._experience.changed // _PART), -(-self.graphs.changed // _GRAPHS))
        for _ in range(parts):
            with self._part(_PART, _GRAPHS) as write:
                await anyio.to_thread.run_sync(write, abandon_on_cancel=True)

    @contextmanager
    def _part(self, most: int, graphs: int) -> Generator[Callable[[], None]]:
        """So much of what changed as something that writes it; what fails remains to be done."""
        write_experience, undo_experience = self._experience.part(most)
        write_graphs, undo_graphs = self.graphs.part(graphs)

        def write() -> None:
            write_experience()
            write_graphs()

        try:
            yield write
        except BaseException:
            undo_experience()
            undo_graphs()
            raise


@lru_cache(maxsize=256)
def _announced(seconds: float) -> Distribution:
    return Distribution.log_normal(seconds, _SPREAD * seconds, f"announced: {seconds:g} s")
