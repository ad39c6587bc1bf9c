"""Strategy: a way to answer a question by several calls; Answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import isfinite
from numbers import Real
from typing import Any, ClassVar, Literal, TypeVar, cast, dataclass_transform

import anyio.to_thread

from weft.parts.faults import blaming, expect
from weft.parts.parameters import Parametric
from weft.parts.registry import PartRegistry
from weft.programs.nodes import unchecked_program
from weft.programs.scope.hearing import Heard, hearing
from weft.search.answers.comparing import compares_ahead, comparing_ahead
from weft.search.answers.failures import NO_RESULT, note
from weft.search.answers.readable import Readable, readable
from weft.search.question import Question


@dataclass(frozen=True)
class Answer:
    """What a strategy found.

    Attributes:
        text: the whole text chosen; None if nothing was generated.
        value: the answer read from it; None if there is none.
        score: the verifier's score of it, or the share of the vote; None without either.
        details: what the search did, plain data: `samples`, `unparsable`, ...; `budget`
            names the resource that ran out, if one did, `failed` counts samples, steps and
            verdicts that engines refused, `verdict_mass` is how much of a model's probability
            its verdicts rest on, P(yes) + P(no), in the mean, and `broken_off` is True where the
            text is of a call that did not come to its end.
    """

    text: str | None
    value: str | None
    score: float | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def abstained(self) -> bool:
        """Whether the strategy gives no answer on purpose; `abstained` in `details` says so."""
        return bool(self.details.get("abstained"))


@dataclass(frozen=True)
class Claim:
    """What a strategy is said to be better at.

    Attributes:
        than: the name of another strategy.
        at: `tokens`: it needs fewer for the same accuracy; `accuracy`: it has more of it for the
            same tokens.
    """

    than: str
    at: Literal["tokens", "accuracy"]


Family = Literal["sampling", "search", "early exit", "collaboration"]
FAMILIES: dict[Family, str] = {
    "sampling": "draw whole answers, and choose among them",
    "search": "grow answers step by step, and drop those that a verifier thinks little of",
    "early exit": "end thinking, or the race of several answers, as soon as it has done its work",
    "collaboration": "have several models share the work",
}
"""The families of strategies, and what those of a family do."""

Need = Literal["verifier", "steps", "continuation", "logprobs", "thinking", "draft", "calibration"]
NEEDS: dict[Need, str] = {
    "verifier": "a verifier, and a task that it can judge",
    "steps": "answers in steps, whose ends the task names",
    "continuation": "an engine that continues open answers, such as vLLM",
    "logprobs": "an engine that reports log-probabilities, such as vLLM",
    "thinking": "a model that thinks visibly, by itself or because the task asks for it",
    "draft": "a second model, in the role draft",
    "calibration": "a calibration of the model on the task, which weft eval calibrate makes",
}
"""What a strategy may need of engines and of a task, beside answers."""


class Strategy(Parametric, ABC):
    """A way to answer a question; calling it with a `Question` gives an `Answer`.

    Subclasses are marked with `@strategy`, which makes them frozen dataclasses. Their fields
    are their parameters, each with a default.

    When a budget runs out, or calls fail, a strategy gives the best that it has so far. If what
    it has can't be read, calling it gives what was generated and can be, though it be cut off.
    It leaves nothing running, and derives all chance from the question's seed.

    Attributes:
        title: what sentences call the strategy; its name if empty.
        family: what kind of method it is; listings are in the order of `FAMILIES`.
        source: where the method comes from: authors or title, and year.
        needs: what it takes of engines and of the task, beside answers (see `NEEDS`).
        claim: what the strategy is said to be better at than another one, for reports to test.
        baseline: whether reports compare the best of the others with this strategy.
        texts: among how many whole texts the strategy chooses; 1 if its answer is the only text
            that it draws, None if its answers come about in other ways.

    Raises:
        UsageError: a parameter is of the wrong kind or out of range.
    """

    title: ClassVar[str] = ""
    family: ClassVar[Family | None] = None
    source: ClassVar[str] = ""
    needs: ClassVar[tuple[Need, ...]] = ()
    claim: ClassVar[Claim | None] = None
    baseline: ClassVar[bool] = False

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses; None unless a strategy says so."""
        return None

    @property
    def drawn_alike(self) -> bool:
        """Whether these texts are drawn alike, as pass@k takes them; True by default."""
        return True

    @property
    def __weft_calls__(self) -> object:
        """The program that a call of the strategy is."""
        return type(self).solve

    def side_by_side(self, questions: int, at_once: int) -> Strategy:
        """What answers so many questions at the same time: by default the strategy itself.

        A strategy that shares something out over them gives a copy that does, for this once. All
        the questions are then asked at once.

        Args:
            questions: how many there are.
            at_once: how many of a strategy that shares nothing would be under way.
        """
        return self

    async def __call__(self, question: Question) -> Answer:
        """Answer the question.

        Raises:
            UsageError: the question lacks what the strategy needs, such as a check.
            EngineError: engines failed, and nothing can be read as an answer.
            PartFailed: the strategy's code raised an exception that is not weft's.
        """
        with hearing() as heard, comparing_ahead(question):
            try:
                with blaming("strategy", type(self)):
                    answer = _checked(await self.solve(question))
            except NO_RESULT as error:
                answer = Answer(None, None)
                note(answer.details, [error])
                if (found := await _found(question, heard)) is None:
                    raise
            else:
                if answer.value is not None or answer.abstained:
                    return answer
                found = await _found(question, heard)
        if found is None:
            return answer
        details = answer.details | ({} if found.whole else {"broken_off": True})
        return replace(answer, text=found.text, value=found.value, details=details)

    @abstractmethod
    async def solve(self, question: Question) -> Answer:
        """What calling the strategy does; `@strategy` makes it a program."""


async def _found(question: Question, heard: Sequence[Heard]) -> Readable | None:
    """What can be read; texts that were broken off have not been compared before."""
    if compares_ahead(question):
        return await anyio.to_thread.run_sync(readable, question, heard)
    return readable(question, heard)


def _checked(given: Any) -> Answer:
    """What `solve` gave, if it is an answer."""
    answer: Answer = expect(given, Answer, "solve", awaited=True)
    if answer.text is not None:
        expect(answer.text, str, "solve's text")
    if answer.score is not None and not isfinite(expect(answer.score, Real, "solve's score")):
        raise ValueError(f"solve gave the score {answer.score}, which is no number")
    expect(answer.details, dict, "solve's details")
    return answer


STRATEGIES = PartRegistry(
    "strategy", Strategy, mark="strategy", group="weft.strategies", own=["weft.search"]
)
S = TypeVar("S", bound=type[Strategy])


@dataclass_transform(frozen_default=True)
def strategy(name: str) -> Callable[[S], S]:
    """Make a class a strategy that specs call `name`."""
    marked = STRATEGIES.mark_as(name)

    def mark(cls: S) -> S:
        if not isinstance(cast(object, cls), type) or not issubclass(cls, Strategy):
            return marked(cls)  # which says what is wrong
        cls.solve.__name__ = name  # what a run's graph shows
        setattr(cls, "solve", unchecked_program(cls.solve))  # noqa: B010 - pyright takes it for a clash
        return marked(cls)

    return mark


def strategies() -> Mapping[str, type[Strategy]]:
    """The strategies that are known by name."""
    return STRATEGIES.known()


def stable_seed(*parts: int | str) -> int:
    """A seed from 0 to 2^31 - 1 that depends on `parts` alone, on every machine."""
    digest = blake2b("\0".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=4)
    return int.from_bytes(digest.digest(), "big") >> 1


def parse_strategy(spec: str | Mapping[str, Any] | Strategy) -> Strategy:
    """The strategy that a spec describes.

    Args:
        spec: a text such as `majority(n=8)` or `mine.py:Mine(n=8)`, or the same as YAML reads
            it: `{majority: {n: 8}}`.

    Raises:
        UnknownName: there is no such strategy or parameter.
        UsageError: the text is malformed, or a value is not allowed.
    """
    return STRATEGIES.parse(spec)
