"""Strategy: a way to answer a question by several calls; Question and Answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar, dataclass_transform

from weft.programs import Prompt, program
from weft.search.parameters import Parameter, written


@dataclass(frozen=True)
class Question:
    """What a strategy is asked to answer; a task makes it.

    Attributes:
        prompt: asks for the answer; ends with a user's turn.
        think: asks for visible thinking before the answer, if the task has such a prompt.
        steps: the string that ends a step of the answer.
        max_tokens: most tokens of an answer.
        max_think_tokens: most tokens of thinking, in addition to the answer's.
        max_steps: most steps of an answer.
        answer: reads the answer, in a form that can be compared, out of a text; None if it
            can't be read.
        complete: whether a partial answer is finished.
        verify: the prompt that asks a verifier about a partial or whole answer, to be
            scored over `yes` and `no`.
        check: an exact check of a partial or whole answer, from 0 to 1.
        seed: all chance in the search derives from it.
    """

    prompt: Prompt
    answer: Callable[[str], str | None]
    complete: Callable[[str], bool]
    think: Prompt | None = None
    steps: str = "\n"
    max_tokens: int = 64
    max_think_tokens: int = 512
    max_steps: int = 8
    verify: Callable[[str], Prompt] | None = None
    check: Callable[[str], float] | None = None
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """What a strategy found.

    Attributes:
        text: the whole text chosen; None if nothing was generated.
        value: the answer read from it; None if there is none.
        score: the verifier's score of it, or the share of the vote; None without either.
        details: what the search did, plain data: `samples`, `unparsable`, ...; `budget`
            names the resource that ran out, if one did.
    """

    text: str | None
    value: str | None
    score: float | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])


class Strategy(ABC):
    """A way to answer a question; calling it with a `Question` gives an `Answer`.

    Subclasses are marked with `@strategy`, which makes them frozen dataclasses. Their fields
    are their parameters, each with a default.

    When a budget runs out, a strategy gives the best that it has so far. It leaves nothing
    running, and derives all chance from the question's seed.

    Raises:
        UsageError: a parameter is of the wrong kind or out of range.
    """

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for p in self.parameters():
            object.__setattr__(self, p.name, p.accept(self.name, getattr(self, p.name)))

    async def __call__(self, question: Question) -> Answer:
        """Answer the question.

        Raises:
            UsageError: the question lacks what the strategy needs, such as a check.
            EngineError: an engine failed.
        """
        return await self.solve(question)

    @abstractmethod
    async def solve(self, question: Question) -> Answer:
        """What calling the strategy does; `@strategy` makes it a program."""

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """The parameters, in order."""
        found: list[Parameter] = []
        for f in fields(cls):  # pyright: ignore[reportArgumentType] - `strategy` makes it one
            assert f.default is not MISSING, f"{cls.__name__}.{f.name} needs a default"
            found.append(Parameter(f.name, f.default, **f.metadata))
        return tuple(found)

    @property
    def spec(self) -> str:
        """The canonical spec: main parameters, and those that differ from their defaults."""
        shown = [
            f"{p.name}={written(getattr(self, p.name))}"
            for p in self.parameters()
            if p.main or getattr(self, p.name) != p.default
        ]
        return f"{self.name}({', '.join(shown)})" if shown else self.name

    def __str__(self) -> str:
        return self.spec


_known: dict[str, type[Strategy]] = {}
S = TypeVar("S", bound=type[Strategy])


@dataclass_transform(frozen_default=True)
def strategy(name: str) -> Callable[[S], S]:
    """Make a class a strategy that specs call `name`."""

    def mark(cls: S) -> S:
        cls.name = name
        cls.solve.__name__ = name  # what a run's graph shows
        setattr(cls, "solve", program(cls.solve))  # noqa: B010 - pyright takes it for a clash
        made = dataclass(frozen=True)(cls)
        _known[name] = made
        return made

    return mark


def strategies() -> Mapping[str, type[Strategy]]:
    """All strategies by name."""
    return MappingProxyType(_known)


def stable_seed(*parts: int | str) -> int:
    """A seed from 0 to 2^31 - 1 that depends on `parts` alone, on every machine."""
    digest = blake2b("\0".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=4)
    return int.from_bytes(digest.digest(), "big") >> 1
