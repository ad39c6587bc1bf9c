"""The components that write answers, speak of them, order them, and leave some out."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from weft.errors import UsageError
from weft.parts.parameters import param, temperature
from weft.programs import fan_out
from weft.search.answers.failures import NO_RESULT
from weft.search.collaboration.pipelines.component import Component, Passing, component, numbered
from weft.search.collaboration.routing.prompt_variants import varied
from weft.search.collaboration.routing.ways import played_by
from weft.search.sampling.drawing import Candidate, Draw, drawer
from weft.search.sampling.nesting import of_param
from weft.search.strategy import Question, Strategy, stable_seed
from weft.search.verifiers import NO_TOKENS, read_verifier, verifier_param

_CRITICIZE = """Here are a request and {count} answers to it. Say of each answer, by its number, \
what its strengths and its weaknesses are. Do not answer the request yourself.

Request:
{request}

{answers}"""

_RANK = """Here are a request and {count} answers to it. Compare the answers. End with a line that \
names all of them by their numbers, the best first, in double brackets, such as [[2, 1, 3]].

Request:
{request}

{answers}"""

_FUSE = """Here are {count} answers to this request. Some may be wrong. Write one answer that is \
better than each of them, whole and in the form that the request asks for, and nothing else.

{answers}"""


@component("generator")
class Generator(Component):
    """Draws answers, by the model of a role or by a strategy."""

    begins = True
    several = True

    n: int = param(1, "answers", least=1, main=True)
    role: str = param("solver", "who writes")
    temperature: float = temperature()
    think: bool = param(False, "ask for visible thinking, if the task has it")
    of: Strategy | None = of_param()

    @property
    def writes(self) -> int | None:
        """`n`, or as many of each of `of`."""
        each = 1 if self.of is None else self.of.texts
        return None if each is None else self.n * each

    def draws(self, passing: Passing) -> list[Draw]:
        """What draws the answers."""
        return [self._draw(passing.question)] * self.n

    def _draw(self, question: Question) -> Draw:
        sample = drawer(question, self.temperature, think=self.think, of=self.of)

        async def draw(index: int) -> Candidate:
            with played_by(self.role):
                return await sample(index)

        return draw

    async def work(self, passing: Passing) -> None:
        """It only writes."""


@component("critic")
class Critic(Component):
    """Says what is good and what is bad about each answer, for those that order or fuse them."""

    heard_by = ("ranker", "fuser")

    async def work(self, passing: Passing) -> None:
        """Ask once about all answers."""
        count = len(passing.shown)
        answers = numbered([one.text for one in passing.shown])
        ask = _CRITICIZE.format(count=count, request=passing.request, answers=answers)
        passing.critique = await passing.say(ask)


@component("ranker")
class Ranker(Component):
    """Orders the answers, the best first, and keeps `k` of them."""

    k: int = param(3, "answers that are kept", least=1, main=True)

    async def work(self, passing: Passing) -> None:
        """Ask once for an order; the answers are shown in an order drawn from the seed."""
        if len(passing.shown) < 2:
            return
        before = passing.shown
        if not passing.critique:  # which speaks of numbers
            seed = stable_seed(passing.question.seed, "order", passing.layer)
            passing.shown = random.Random(seed).sample(before, len(before))
        ask = _RANK.format(
            count=len(passing.shown), request=passing.request, answers=passing.listed
        )
        if order := read_order(await passing.say(ask), len(passing.shown)):
            before, passing.ordered = [passing.shown[i] for i in order], True
        passing.shown = before[: self.k]
        passing.critique = ""


def read_order(said: str, count: int) -> list[int]:
    """The order in which answers are named, from 0, all others behind them; none if none is.

    Args:
        said: what the last double brackets hold counts, or the last ones with one number each.
        count: how many answers there are.
    """
    found = re.findall(r"\[\[([\d\s,>\]\[]*)\]\]", said)
    numbers = [int(n) - 1 for n in re.findall(r"\d{1,9}", found[-1])] if found else []
    order = [i for i in dict.fromkeys(numbers) if 0 <= i < count]
    return [*order, *(i for i in range(count) if i not in order)] if order else []


@component("screen")
class Screen(Component):
    """Leaves out the answers that a verifier does not let pass; all stay if it lets none."""

    verifier: str = verifier_param()
    least: float = param(0.5, "a score that passes", least=0, most=1)

    async def work(self, passing: Passing) -> None:
        """Score all answers side by side."""
        verifier = read_verifier(self.verifier)
        verifier.check(passing.question)
        if verifier.logprobs is not None:
            raise UsageError(
                f"verifier={verifier.spec} reads log-probabilities, which a pipeline does not "
                "keep; use another verifier"
            )
        scores: dict[int, float] = {}

        async def score(one: Candidate) -> None:
            try:
                scores[one.index] = await verifier(passing.question, one.text, NO_TOKENS)
            except NO_RESULT as error:
                passing.drawn.errors.append(error)

        async with fan_out(score, passing.shown) as asked:
            async for _ in asked:
                pass
        passed = [one for one in passing.shown if scores.get(one.index, 0.0) >= self.least]
        if passed:
            passing.shown = [replace(one, score=scores.get(one.index)) for one in passed]
            passing.critique = passing.critique if len(passed) == len(scores) else ""


@component("fuser")
class Fuser(Component):
    """Writes new answers from all that there are."""

    several = True

    n: int = param(1, "answers", least=1, main=True)
    role: str = param("solver", "who writes")
    temperature: float = temperature()

    @property
    def writes(self) -> int:
        """`n`."""
        return self.n

    def draws(self, passing: Passing) -> list[Draw]:
        """What writes the answers; nothing where there are none to write them from."""
        if not passing.shown:
            return []
        fused = _FUSE.format(count=len(passing.shown), answers=passing.listed)
        sample = drawer(varied(passing.question, fused), self.temperature)

        async def draw(index: int) -> Candidate:
            with played_by(self.role):
                return await sample(index)

        return [draw] * self.n

    async def work(self, passing: Passing) -> None:
        """It only writes."""


def writing(layer: Sequence[Component], passing: Passing) -> list[Draw]:
    """What writes the answers of a layer, those of all its components."""
    return [draw for one in layer for draw in one.draws(passing)]
