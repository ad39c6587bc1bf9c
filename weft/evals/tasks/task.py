"""What a task is: problems, how to ask them, and when an answer is right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast

from weft.parts.registry import PartRegistry
from weft.search.strategy import Answer, Question
from weft.types import Request


@dataclass(frozen=True, slots=True)
class Sample:
    """One problem of a task.

    Attributes:
        id: unique in the task and the same in every run.
        data: the problem, as JSON.
        cluster: what samples have in common that are not independent of each other, such as the
            text that they all ask about; empty if it is its own.
        priority: samples with a lower number are asked first, and their calls go before others';
            the suite's own is added. From -1000 to 1000.
    """

    id: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    cluster: str = ""
    priority: int = 0


class RulePlayer(Protocol):
    """Answers a task's questions by rule, as `weft mock --task` serves it."""

    def reply(self, request: Request, /) -> str:
        """The answer to a request, or the rest of an open one."""
        ...

    def scores(self, request: Request, /) -> dict[str, float]:
        """Probabilities of what a request to score asks about."""
        ...


class Task(ABC):
    """A set of problems with an exact check of answers.

    Subclasses are marked with `@task(name)`. The first line of their docstring is what
    `weft tasks` shows; their parameters are those of their `__init__`.

    Attributes:
        name: as in specs: `countdown`, `jsonl(path=...)`.
        suite: the suite file shipped with the task, if there is one.
        engine: the engine spec that serves a model made for the task, if there is one.
        fingerprint: changes with the data, where the spec alone does not determine it.
        slow: whether judging, or comparing two answers, may take long, so that it is done in a
            thread.
    """

    name: ClassVar[str]
    suite: ClassVar[Path | None] = None
    engine: ClassVar[str | None] = None
    fingerprint: str = ""
    slow: bool = False

    @property
    @abstractmethod
    def spec(self) -> str:
        """The task with all parameters that decide its problems, such as `sums(most=9)`."""

    @abstractmethod
    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """The first `limit` problems, all if None; fewer where the task has fewer.

        Args:
            limit: how many problems.
            seed: of what is random; the same seed gives the same problems.
        """

    @abstractmethod
    def question(self, sample: Sample, seed: int) -> Question:
        """What a strategy is asked.

        Args:
            sample: the problem.
            seed: what all chance in answering the question derives from.
        """

    def player(self, skill: float) -> RulePlayer | None:
        """What answers the task's questions by rule, without a model; none by default.

        Args:
            skill: from 0 to 1, which makes no mistakes.
        """
        return None

    @abstractmethod
    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the answer is right."""

    def target(self, sample: Sample) -> str:
        """The right answer as people are shown it; by default what `data` has under such a name."""
        known: Any = sample.data.get("answer", sample.data.get("target", ""))
        several = isinstance(known, list | tuple)
        return " or ".join(map(str, cast("list[Any]", known))) if several else str(known)

    def credit(self, sample: Sample, answer: Answer) -> float:
        """How much an answer that is not right is worth, from 0 to 1; nothing by default."""
        return 0.0

    def notes(self, sample: Sample, answer: Answer) -> dict[str, Any]:
        """What else there is to say of how an answer was judged, as plain data; nothing by default.

        A row keeps it among its details.
        """
        return {}


def identity(spec: str, fingerprint: str) -> str:
    """What tells a task from others, wherever the file of its data is.

    Args:
        spec: of the task.
        fingerprint: of its data; empty where the spec determines them.
    """
    return f"{spec.partition('(')[0]} {fingerprint}" if fingerprint else spec


TASKS = PartRegistry(
    "task",
    Task,
    mark="task",
    group="weft.tasks",
    own=[
        "weft.evals.tasks.procedures",
        *(f"weft.evals.tasks.puzzles.{file}" for file in ("countdown_task", "sudoku_task")),
        *(f"weft.evals.tasks.made.{file}" for file in ("compositional", "dataset_search")),
        *(f"weft.evals.tasks.files.{file}" for file in ("csv_file", "hugging_face", "jsonl")),
        *(f"weft.evals.tasks.borrowed.{file}" for file in ("humaneval", "gym")),
        *(f"weft.evals.tasks.borrowed.{file}" for file in ("inspect_task", "taskset", "harbor")),
    ],
)
T = TypeVar("T", bound=type[Task])


def task(name: str) -> Callable[[T], T]:
    """Make a class a task that specs call `name`."""
    TASKS.check_name(name)

    def mark(cls: T) -> T:
        TASKS.add(name, cls)
        cls.name = name
        return cls

    return mark
