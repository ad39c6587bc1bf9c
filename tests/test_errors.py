"""The tree of errors, and errors in other processes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest

from weft import errors
from weft.errors import BudgetExceeded, Refused, TimedOut, UnknownName, WeftError
from weft.service.strategies.forms import NoWholeAnswer, StrategyResult
from weft.types import Usage


def kinds(base: type[WeftError] = WeftError) -> Iterator[type[WeftError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


SPECIAL: dict[type[WeftError], WeftError] = {
    UnknownName: UnknownName("strategy", "majorty", ["majority", "greedy"]),
    TimedOut: TimedOut("read", 5),
    BudgetExceeded: BudgetExceeded("tokens", 100, 120),
    NoWholeAnswer: NoWholeAnswer(StrategyResult("half", True, Usage(), {"details": {"n": 1}})),
    Refused: Refused(429, "too much", retry_after=1.5, code="slow_down"),
}


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=str))
def test_errors_survive_pickling_and_copying_with_their_fields(kind: type[WeftError]) -> None:
    error = SPECIAL.get(kind) or kind("what is wrong, and what to do")
    error.extra = {"of": "a user"}  # type: ignore[attr-defined]
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)


def test_the_tree_is_drawn_whole() -> None:
    drawn = errors.__doc__ or ""
    for kind in kinds():
        if kind.__module__ == "weft.errors":
            assert f"{kind.__name__} " in drawn or f"{kind.__name__}\n" in drawn, kind.__name__


def test_an_unknown_name_tells_what_is_known() -> None:
    assert str(UnknownName("task", "a", ["ab", "cd"])) == "unknown task 'a'; did you mean ab?"
    assert str(UnknownName("task", "a", [])) == "unknown task 'a'; none is known"
