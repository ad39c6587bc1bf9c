"""switch: sequential or parallel, as the first questions of a task show which is better."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import ClassVar, Literal

import anyio

from weft.errors import UsageError, WeftError
from weft.parts.parameters import param
from weft.programs import fan_out
from weft.programs.scope.hearing import hearing
from weft.search.answers.failures import NO_RESULT
from weft.search.refinement.revise import Revise
from weft.search.sampling.best_of_n import BestOfN
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import NO_TOKENS, read_verifier, verifier_param

Way = Literal["sequential", "parallel"]
_WAYS: tuple[Way, Way] = ("parallel", "sequential")


@strategy("switch")
class Switch(Strategy):
    """Answers side by side or one after another, whichever a task shows to be better.

    Which of both is better at equal tokens depends on the task: side by side wins on Countdown,
    one after another on Sudoku (To Backtrack or Not to Backtrack, Qin et al. 2025). So it is
    measured. The first `pilot` questions of an evaluation that have no answer yet, half of them at
    most, are answered both ways, and the verifier scores both answers. The other questions wait for
    them, and are answered the way of the higher mean score, of equals that with fewer tokens. Give
    both ways as many tokens as you would give either.

    A question alone shows nothing before it is answered: it is answered in parallel, and
    `measured` in the details is False.
    """

    title = "sequential or parallel"
    family = "search"
    source = "To Backtrack or Not to Backtrack, Qin et al. 2025"
    needs = ("verifier",)

    pilot: int = param(8, "questions that are answered both ways", least=1, main=True)
    verifier: str = verifier_param()
    sequential: Strategy | None = param(
        None, "one after another; revise(n=4) if none is given", kind=Strategy
    )
    parallel: Strategy | None = param(
        None, "side by side; best_of_n(n=4) if none is given", kind=Strategy
    )

    _pilots: ClassVar[Pilots | None] = None
    """What questions that are answered side by side share; of an instance then."""

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses, at most."""
        each = [way.texts for way in self._ways.values()]
        return None if None in each else sum(n or 0 for n in each)

    @property
    def _ways(self) -> dict[Way, Strategy]:
        return {
            "parallel": self.parallel or BestOfN(n=4, verifier=self.verifier),
            "sequential": self.sequential or Revise(n=4, verifier=self.verifier),
        }

    def side_by_side(self, questions: int, at_once: int) -> Switch:
        """The same with what so many questions show."""
        shared = replace(self)
        object.__setattr__(shared, "_pilots", Pilots(min(self.pilot, questions // 2)))
        return shared

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        verifier = read_verifier(self.verifier)
        verifier.check(question)
        if verifier.logprobs is not None:
            raise UsageError(
                f"verifier={verifier.spec} reads log-probabilities, which answers of strategies "
                "don't have; use another verifier"
            )
        pilots = self._pilots
        if pilots is not None and pilots.join():
            try:
                return await self._both(question, pilots)
            finally:
                pilots.leave()
        way: Way = "parallel"
        if pilots is not None:
            await pilots.over.wait()
            way = pilots.better
        answer = await self._ways[way](question)
        measured = pilots is not None and pilots.measured
        return replace(answer, details=answer.details | {"way": way, "measured": measured})

    async def _both(self, question: Question, pilots: Pilots) -> Answer:
        """Answer both ways, and say how good both are."""
        verifier = read_verifier(self.verifier)
        found: dict[Way, tuple[Answer, float | None]] = {}
        errors: list[WeftError] = []

        async def answer(way: Way) -> None:
            try:
                with hearing() as heard:
                    given = await self._ways[way](question)
                tokens = sum(one.outcome.usage.completion for one in heard)
            except NO_RESULT as error:
                errors.append(error)
                return
            found[way] = given, None
            score = 0.0
            if given.value is not None and given.text is not None:
                try:
                    score = await verifier(question, given.text, NO_TOKENS)
                except NO_RESULT:
                    return
            found[way] = given, score
            pilots.add(way, score, tokens)

        async with fan_out(answer, _WAYS) as both:
            async for _ in both:
                pass
        if not found:
            raise errors[0]

        def worth(way: Way) -> tuple[bool, float]:
            given, score = found[way]
            return given.value is not None, score or 0.0

        ways: list[Way] = [way for way in _WAYS if way in found]
        way = max(ways, key=worth)
        given, score = found[way]
        return replace(given, score=score, details=given.details | {"way": way, "measured": False})


class Pilots:
    """Questions that are answered both ways, and what they show.

    Args:
        pilots: how many there are.

    Attributes:
        over: set when all pilots have been answered.
    """

    def __init__(self, pilots: int) -> None:
        self._to_come = self._under_way = pilots
        self._scores: dict[Way, list[float]] = {way: [] for way in _WAYS}
        self._tokens: dict[Way, list[int]] = {way: [] for way in _WAYS}
        self.over = anyio.Event()
        if not pilots:
            self.over.set()

    def join(self) -> bool:
        """Whether the next question is a pilot."""
        self._to_come -= 1
        return self._to_come >= 0

    def add(self, way: Way, score: float, tokens: int) -> None:
        """A pilot was answered one way."""
        self._scores[way].append(score)
        self._tokens[way].append(tokens)

    def leave(self) -> None:
        """A pilot has come to its end."""
        self._under_way -= 1
        if not self._under_way:
            self.over.set()

    @property
    def measured(self) -> bool:
        """Whether there is a score of both ways."""
        return all(self._scores.values())

    @property
    def better(self) -> Way:
        """The way of the higher mean score, of equals that with fewer tokens; else parallel."""
        if not self.measured:
            return "parallel"
        return max(_WAYS, key=lambda way: (fmean(self._scores[way]), -fmean(self._tokens[way])))
