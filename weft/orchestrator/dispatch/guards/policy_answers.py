"""What policies answer, read so that the policy can't change it later.

What is kept is read into values of weft's own; what is used up at once is looked at and goes on.
What is no answer raises `NoAnswer`.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, cast

from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.policy import Admission, Order, Placement, Retention
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import View

_PLAIN = (float, int)
_LONGEST = 1000  # characters of a reason that are kept: it goes into logs and heads of answers


class NoAnswer(Exception):
    """What a policy returned is no answer."""


def read_order(answer: Order) -> tuple[tuple[float, ...], float, str]:
    """Key of a call that waits, when the call becomes overdue, and why."""
    if type(answer) is not Order:
        _check(answer, Order)
    key, overdue = answer.key, answer.overdue
    if type(key) is not tuple:
        raise NoAnswer(f"its key is {_shown(key)}, not a tuple of numbers")
    for part in key:
        if type(part) not in _PLAIN or part != part:
            key = tuple(part if type(part) is int else _number(part, "its key has") for part in key)
            break
    if type(overdue) is not float or overdue != overdue:
        overdue = math.inf if overdue is None else _number(overdue, "its overdue is")
    return key, overdue, _reason(answer.reason)


def read_placement(answer: Placement, view: View) -> tuple[Replica, str, bool]:
    """The engine, why, and whether the call is to wait for this engine alone."""
    if type(answer) is not Placement:
        _check(answer, Placement)
    engine, firm, reason = answer.engine, answer.firm, answer.reason
    if not isinstance(engine, Replica) or engine not in view.engines:
        raise NoAnswer(f"{_shown(engine)} is none of the engines in view")
    return engine, _reason(reason), firm if type(firm) is bool else _truth(firm, "its firm is")


def read_admission(answer: Admission, replica: Replica) -> Admission:
    """Whether a call may enter; what it displaces holds a claim on the engine."""
    if type(answer) is not Admission:
        _check(answer, Admission)
    elif answer.enter is True and _reason(answer.reason) is answer.reason:
        return answer
    if _truth(answer.enter, "its enter is"):
        return Admission(True, _reason(answer.reason))
    program = cast(object, answer.displace)
    if program is None:
        again = answer.again
        if again is not None:
            again = _number(again, "its again is")
        return Admission(False, _reason(answer.reason), again=again)
    if not (isinstance(program, Program) and program.claim and program.home is replica):
        raise NoAnswer(f"{_shown(program)}, which it displaces, has no claim on {replica.name}")
    return Admission(False, _reason(answer.reason), program)


def read_retention(answer: Retention) -> Retention:
    """For how long a program keeps its room, as numbers that can be compared."""
    if type(answer) is not Retention:
        _check(answer, Retention)
    elif (
        type(answer.seconds) is float
        and type(answer.rank) is float
        and answer.seconds == answer.seconds
        and answer.rank == answer.rank
    ):
        reason = _reason(answer.reason)
        if reason is answer.reason:
            return answer
        return Retention(answer.seconds, reason, answer.rank)
    seconds, rank = _number(answer.seconds, "its seconds are"), _number(answer.rank, "its rank is")
    return Retention(seconds, _reason(answer.reason), rank)


def _check(answer: object, wanted: type[Any]) -> None:
    if isinstance(answer, wanted):
        return
    article = "an" if wanted.__name__[0] in "AO" else "a"
    if inspect.iscoroutine(answer):
        answer.close()
        raise NoAnswer(f"it is async, but must return {article} {wanted.__name__} at once")
    raise NoAnswer(f"it returned {_shown(answer)}, not {article} {wanted.__name__}")


def _number(value: Any, what: str) -> float:
    """A number that can be compared with others."""
    if type(value) is not float:
        if not hasattr(value, "__float__"):
            raise NoAnswer(f"{what} {_shown(value)}, which is no number")
        value = float(value)
    if value != value:
        raise NoAnswer(f"{what} not a number (NaN)")
    return value


def _truth(value: Any, what: str) -> bool:
    if value is True or value is False:
        return value
    if value is None or not hasattr(value, "__bool__"):
        raise NoAnswer(f"{what} {_shown(value)}, not true or false")
    return bool(value)


def _reason(value: Any) -> str:
    """A reason that can be written everywhere: not too long, and without half characters."""
    if type(value) is str and len(value) <= _LONGEST and value.isascii():
        return value
    if not isinstance(value, str):
        raise NoAnswer(f"its reason is {_shown(value)}, not a text")
    return str.__str__(value)[:_LONGEST].encode("utf-8", "replace").decode()


def _shown(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, Program):
        return f"program {value.id}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
