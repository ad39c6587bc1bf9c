"""Tasks that give something else than they should: it is their fault, told with their line."""

# What no type allows is what is tried here.
# pyright: reportArgumentType=false
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from weft.errors import PartFailed, UsageError
from weft.evals.tasks import guarded_task
from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.tasks.task import Sample, Task
from weft.programs import Prompt
from weft.search.strategy import Answer, Question

SAMPLE, ANSWER = Sample("1", {"n": [1]}), Answer("x", "x")


def asked(**more: Any) -> Question:
    plain = {"prompt": Prompt.user("?"), "answer": str.strip, "complete": lambda _: True}
    return Question(**{**plain, **more})


class Given(Task):
    """A task of which some methods are replaced."""

    name = "given"

    def __init__(self, **more: Any) -> None:
        self._more = more

    def _give(self, name: str, plain: Any, *seen: Any) -> Any:
        made = self._more.get(name)
        return plain if made is None else made(*seen)

    @property
    def spec(self) -> str:
        return self._give("spec", "given")

    @property
    def fingerprint(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._give("fingerprint", "")

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        return self._give("samples", [SAMPLE], limit)

    def question(self, sample: Sample, seed: int) -> Question:
        return self._give("question", asked(), sample)

    def correct(self, sample: Sample, answer: Answer) -> bool:
        return self._give("correct", True, sample, answer)


async def later(*_: Any) -> Any:
    return []


def fails(*_: Any) -> Any:
    raise ZeroDivisionError("zero")


FAULTS: list[tuple[str, Callable[..., Any], str]] = [
    ("spec", lambda: None, "spec must be str, not None"),
    ("spec", fails, "ZeroDivisionError: zero"),
    ("fingerprint", lambda: 7, "fingerprint must be str, not 7"),
    ("samples", fails, "ZeroDivisionError"),
    ("samples", later, "samples is async"),
    ("samples", lambda _: None, "samples must be Iterable, not None"),
    ("samples", lambda _: ["x"], "a sample must be Sample, not 'x'"),
    ("samples", lambda _: [], "no samples"),
    ("samples", lambda _: [SAMPLE, SAMPLE], "two of its samples have the id '1'"),
    ("samples", lambda _: [Sample(1)], "id must be str, not 1"),
    ("question", fails, "ZeroDivisionError"),
    ("question", later, "question is async"),
    ("question", lambda _: None, "question must be Question, not None"),
    ("question", lambda _: asked(prompt="?"), "prompt must be Prompt, not '?'"),
    ("question", lambda _: asked(max_tokens="5"), "max_tokens must be int, not '5'"),
    ("question", lambda _: asked(seed=None), "seed must be int, not None"),
    ("correct", fails, "ZeroDivisionError"),
    ("correct", later, "correct is async"),
    ("correct", lambda *_: None, "correct must be bool, not None"),
    ("correct", lambda *_: "no", "correct must be bool, not 'no'"),
    ("correct", lambda *_: math.nan, "correct must be bool, not nan"),
]


@pytest.mark.parametrize(("method", "make", "word"), FAULTS)
def test_a_fault_names_the_task_and_its_line(
    method: str, make: Callable[..., Any], word: str
) -> None:
    task = GuardedTask(Given(**{method: make}))
    ask = {
        "spec": lambda: task.spec,
        "fingerprint": lambda: task.fingerprint,
        "samples": lambda: task.samples(None, 0),
        "question": lambda: task.question(SAMPLE, 0),
        "correct": lambda: task.correct(SAMPLE, ANSWER),
    }[method]
    with pytest.raises(PartFailed, match=f"^task Given failed at {__file__}:") as raised:
        ask()
    assert word in str(raised.value)


@pytest.mark.parametrize(
    ("function", "arguments", "right"),
    [
        ("answer", "x", None),
        ("answer_cut", "x", "x"),
        ("complete", "x", False),
        ("verify", "x", Prompt.user("?")),
        ("check", "x", 0.5),
        ("same", "xy", True),
    ],
)
def test_functions_of_a_question_are_guarded(function: str, arguments: str, right: Any) -> None:
    def called(give: Callable[..., Any]) -> Any:
        guarded = GuardedTask(Given(question=lambda _: asked(**{function: give})))
        return getattr(guarded.question(SAMPLE, 0), function)(*arguments)

    assert called(lambda *_: right) == right
    for wrong in (later, fails, lambda *_: object()):
        with pytest.raises(PartFailed, match=f"^task Given failed at {__file__}:"):
            called(wrong)


def test_what_a_task_changes_is_a_copy() -> None:
    def spoil(sample: Sample, answer: Answer | None = None) -> Any:
        sample.data["n"].append(2)
        sample.data.clear()
        if answer is None:
            return asked()
        answer.details.clear()
        return True

    task, answer = (
        GuardedTask(Given(question=spoil, correct=spoil)),
        Answer("x", "x", details={1: 2}),
    )
    task.question(SAMPLE, 0)
    assert task.correct(SAMPLE, answer)
    assert SAMPLE.data == {"n": [1]}
    assert answer.details == {1: 2}


SOME = [Sample(str(i)) for i in range(5)]


def test_samples_are_as_many_as_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = GuardedTask(Given(samples=lambda _: (Sample(str(i)) for i in range(10**9))))
    assert [sample.id for sample in endless.samples(3, 0)] == ["0", "1", "2"]
    monkeypatch.setattr(guarded_task, "_MOST", 4)
    with pytest.raises(UsageError, match=r"Given gives more than 4 samples.*say by --limit"):
        endless.samples(None, 0)
    assert len(endless.samples(9, 0)) == 9
    assert len(GuardedTask(Given(samples=lambda _: SOME)).samples(None, 0)) == 5, "it has an end"
