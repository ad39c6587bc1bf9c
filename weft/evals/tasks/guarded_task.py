"""GuardedTask: a task whose faults, wrong answers included, are put down to its class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from numbers import Real
from operator import eq
from typing import Any, TypeVar, cast

from weft.errors import UsageError
from weft.evals.tasks.task import Sample, Task, identity
from weft.parts.faults import blaming, expect, truth
from weft.programs import Prompt
from weft.search.choices import Choices
from weft.search.strategy import Answer, Question

T = TypeVar("T")
_MOST = 100_000
"""Samples of a task that gives them one by one, and may have no end."""
_NUMBERS = {
    "max_tokens": int,
    "max_think_tokens": int,
    "max_steps": int,
    "seed": int,
    "top_p": Real,
}


_PLAIN = frozenset((str, int, float, bool, type(None)))


class GuardedTask:
    """Asks a task, and takes only answers that an evaluation can go on with.

    What a task is given is a copy: it may change a sample's data without another strategy's
    question being changed by that.

    Args:
        task: is asked.

    Raises:
        PartFailed: from all methods and attributes, the task's code raised an exception that is
            not weft's, or gave something else than it should.
    """

    def __init__(self, task: Task) -> None:
        self.task, self._kind = task, type(task)

    @property
    def spec(self) -> str:
        """The task's spec."""
        with blaming("task", self._kind):
            return expect(self.task.spec, str, "spec")

    @property
    def slow(self) -> bool:
        """Whether judging may take long."""
        with blaming("task", self._kind):
            return truth(self.task.slow, "slow")

    @property
    def fingerprint(self) -> str:
        """What changes with the task's data."""
        with blaming("task", self._kind):
            return expect(self.task.fingerprint, str, "fingerprint")

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """The first `limit` problems, all if None; at least one, each with an id of its own.

        Raises:
            UsageError: without a limit the task gives more than can be meant.
        """
        with blaming("task", self._kind):
            given = expect(self.task.samples(limit, seed), Iterable, "samples")
            found: dict[str, Sample] = {}
            for one in islice(given, limit):
                sample = expect(one, Sample, "a sample")
                if expect(sample.id, str, "a sample's id") in found:
                    raise ValueError(f"two of its samples have the id {sample.id!r}")
                if limit is None and len(found) == _MOST and not isinstance(given, Sized):
                    raise UsageError(
                        f"task {self._kind.__name__} gives more than {_MOST:,} samples, perhaps "
                        "without end; say by --limit (in a suite: limit) how many to take"
                    )
                expect(sample.cluster, str, "a sample's cluster")
                expect(sample.priority, int, "a sample's priority")
                found[sample.id] = sample
            if not found:
                raise ValueError("it has no samples")
            return list(found.values())

    def question(self, sample: Sample, seed: int) -> Question:
        """A sample's question, whose functions are guarded too, for they are called later."""
        with blaming("task", self._kind):
            return self._question(self.task.question(_copy(sample), seed))

    def _question(self, given: object) -> Question:
        with blaming("task", self._kind):
            asked = expect(given, Question, "question")
            expect(asked.prompt, Prompt, "the question's prompt")
            for name, kind in _NUMBERS.items():
                if (value := getattr(asked, name)) is not None or name != "max_tokens":
                    expect(value, kind, f"the question's {name}")
            return replace(
                asked,
                answer=self._guarded(asked.answer, self._text),
                complete=self._guarded(asked.complete, lambda given: truth(given, "complete")),
                verify=self._maybe(asked.verify, lambda given: expect(given, Prompt, "verify")),
                check=self._maybe(asked.check, lambda given: float(expect(given, Real, "check"))),
                answer_cut=self._maybe(asked.answer_cut, self._text),
                same=asked.same if asked.same is eq else self._same(asked.same),
                slow=expect(asked.slow, bool, "the question's slow") or self.slow,
                task=asked.task or identity(self.task.spec, self.task.fingerprint),
                choices=self._choices(asked.choices),
            )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether an answer is right."""
        with blaming("task", self._kind):
            copied = replace(answer, details=dict(answer.details))
            return truth(self.task.correct(_copy(sample), copied), "correct")

    def target(self, sample: Sample) -> str:
        """The right answer as people are shown it."""
        with blaming("task", self._kind):
            return expect(self.task.target(_copy(sample)), str, "target")

    def credit(self, sample: Sample, answer: Answer) -> float:
        """How much an answer is worth that is not right."""
        with blaming("task", self._kind):
            copied = replace(answer, details=dict(answer.details))
            return float(expect(self.task.credit(_copy(sample), copied), Real, "credit"))

    def notes(self, sample: Sample, answer: Answer) -> dict[str, Any]:
        """What else the task says of how it judged an answer."""
        with blaming("task", self._kind):
            copied = replace(answer, details=dict(answer.details))
            return expect(self.task.notes(_copy(sample), copied), dict, "notes")

    def _choices(self, given: Choices | None) -> Choices | None:
        if given is None:
            return None
        choices = expect(given, Choices, "the question's choices")

        def ask(options: Sequence[str]) -> Question:
            with blaming("task", self._kind):
                return self._question(choices.ask(options))

        return replace(choices, ask=ask)

    @staticmethod
    def _text(given: object) -> str | None:
        return None if given is None else expect(given, str, "the question's answer")

    def _guarded(self, call: Callable[[str], Any], read: Callable[[Any], T]) -> Callable[[str], T]:
        def guard(text: str) -> T:
            with blaming("task", self._kind):
                return read(call(text))

        return guard

    def _maybe(
        self, call: Callable[[str], Any] | None, read: Callable[[Any], T]
    ) -> Callable[[str], T] | None:
        return None if call is None else self._guarded(call, read)

    def _same(self, call: Callable[[str, str], Any]) -> Callable[[str, str], bool]:
        def guard(a: str, b: str) -> bool:
            with blaming("task", self._kind):
                return truth(call(a, b), "same")

        return guard


def _copy(sample: Sample) -> Sample:
    if type(sample) is not Sample:
        return deepcopy(sample)
    return replace(sample, data=_copied(sample.data))


def _copied(value: Any) -> Any:
    """A deep copy: of JSON, as samples are, at a tenth of what `deepcopy` takes."""
    kind: type[object] = type(cast(object, value))
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {name: _copied(one) for name, one in value.items()}
    if kind is list:
        return [_copied(one) for one in value]
    return deepcopy(value)
