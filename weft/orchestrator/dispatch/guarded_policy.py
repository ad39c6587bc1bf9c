"""GuardedPolicy: a policy that always answers, whatever the code does that it was written in."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from traceback import format_exception_only
from types import CodeType
from typing import TYPE_CHECKING, Any, cast

from weft.orchestrator.dispatch.counters import DispatchCounters, Question
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention, View
from weft.orchestrator.program import Program

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.ticket import Ticket

_log = logging.getLogger(__name__)
_OURS = str(Path(__file__).parents[2])
_STALL = 1.0  # seconds of a decision that are worth a word: nothing else happens meanwhile
_MOST = 100  # different errors that are logged
_PLAIN = {int, float, bool}


class _NoAnswer(Exception):
    """What a policy returned is no answer."""


class GuardedPolicy:
    """Asks a policy, and decides the plain way where it gives no answer.

    No answer is an exception, something of another type, a number that is none, an engine
    that is not in view, or the displacement of a program that holds no claim on the engine.
    The plain way is: first come, first served, on the engine with room and the fewest calls;
    everyone is admitted, and nobody keeps room. Each such decision is counted, and each error
    logged once, with the line of code that it comes from.

    `KeyboardInterrupt` passes. A policy that takes its time can't be interrupted, for the
    scheduler is waiting for it; that it does is logged.

    Args:
        policy: is asked.
        counters: of decisions, and of those that it failed to make.
    """

    def __init__(self, policy: Policy, counters: DispatchCounters) -> None:
        self.policy = policy
        self._counters = counters
        self._logged: set[tuple[str, str, str]] = set()

    def order(self, ticket: Ticket, view: View) -> tuple[tuple[float, ...], float, str]:
        """Key of a call that waits, when it becomes overdue (perhaps never), and why."""
        self._counters.decisions += 1
        begun = perf_counter()
        try:
            found = _order(self.policy.order(ticket, view))
        except BaseException as error:
            return (), math.inf, f"{self._note_failure('order', error)}: first come, first served"
        if perf_counter() - begun > _STALL:
            self._note_stall("order", perf_counter() - begun)
        return found

    def place(self, ticket: Ticket, view: View) -> tuple[Replica, str, bool]:
        """One of the view's engines for a call, why, and whether it is to wait for that alone."""
        self._counters.decisions += 1
        begun = perf_counter()
        try:
            found = _placement(self.policy.place(ticket, view), view)
        except BaseException as error:
            why = self._note_failure("place", error)
            replica = least_loaded(ticket, view)
            return replica, f"{why}: {replica.in_flight} calls run there, the fewest", False
        if perf_counter() - begun > _STALL:
            self._note_stall("place", perf_counter() - begun)
        return found

    def admit(self, ticket: Ticket, replica: Replica, view: View) -> Admission:
        """Whether a call may enter an engine; what it displaces holds a claim there."""
        self._counters.decisions += 1
        begun = perf_counter()
        try:
            found = _admission(self.policy.admit(ticket, replica, view), replica)
        except BaseException as error:
            return Admission(True, f"{self._note_failure('admit', error)}: everyone is admitted")
        if perf_counter() - begun > _STALL:
            self._note_stall("admit", perf_counter() - begun)
        return found

    def retain(self, program: Program, replica: Replica, view: View) -> Retention:
        """For how long a program keeps its room."""
        self._counters.decisions += 1
        begun = perf_counter()
        try:
            found = _retention(self.policy.retain(program, replica, view))
        except BaseException as error:
            return Retention(0.0, f"{self._note_failure('retain', error)}: no claim between calls")
        if perf_counter() - begun > _STALL:
            self._note_stall("retain", perf_counter() - begun)
        return found

    def _note_failure(self, question: Question, error: BaseException) -> str:
        """Note that the policy gave no answer; returns that in a few words.

        Raises:
            KeyboardInterrupt: somebody ends the process.
        """
        if isinstance(error, KeyboardInterrupt):
            raise error
        self._counters.unanswered[question] += 1
        name = self._name
        if isinstance(error, _NoAnswer):
            kind, said, where = "no answer", str(error), self._method(question)
        else:
            kind = type(error).__name__
            said = format_exception_only(error)[-1].strip()
            where = self._line(error) or self._method(question)
        self._once(
            question,
            f"{kind} {where}",
            f"policy {name} failed to {question}, and the plain way is taken instead "
            f"whenever it does: {said} ({where})",
        )
        return f"policy {name} gave no answer" + ("" if kind == "no answer" else f" ({kind})")

    def note_deadlock(self, reason: str) -> None:
        """A call is refused, and nothing is there whose end would have the policy asked again."""
        self._once(
            "admit",
            "refused",
            f"policy {self._name} refuses a call ({reason}) though no call runs and no claim is "
            "held: the policy is asked again only when another call comes or goes "
            f"({self._method('admit')})",
        )

    def _note_stall(self, question: Question, seconds: float) -> None:
        self._once(
            question,
            "stalled",
            f"policy {self._name} took {seconds:.2g} s to {question}, while nothing else "
            f"could happen; decisions should take microseconds ({self._method(question)})",
        )

    def _once(self, question: Question, kind: str, text: str) -> None:
        key = question, kind, self._name
        if key not in self._logged and len(self._logged) < _MOST:
            self._logged.add(key)
            _log.warning("%s", text)

    @property
    def _name(self) -> str:
        return type(self.policy).name or type(self.policy).__name__

    def _method(self, question: Question) -> str:
        """Where the policy makes a decision, as far as that is written down."""
        code = getattr(getattr(type(self.policy), question, None), "__code__", None)
        if isinstance(code, CodeType):
            return f"{code.co_filename}:{code.co_firstlineno}"
        return f"{type(self.policy).__module__}.{type(self.policy).__qualname__}"

    def _line(self, error: BaseException) -> str:
        """The innermost line of the policy's own file that an error came through, or of others'."""
        own = {code.co_filename for code in _codes(type(self.policy))}
        lines: list[tuple[bool, str]] = []
        trace = error.__traceback__
        while trace is not None:
            file = trace.tb_frame.f_code.co_filename
            if file != __file__:
                lines.append((file in own, f"{file}:{trace.tb_lineno}"))
            trace = trace.tb_next
        mine = [line for is_own, line in lines if is_own]
        return (mine or [line for _, line in lines] or [""])[-1]


def _codes(cls: type[Policy]) -> Iterator[CodeType]:
    """What a policy was written in, but for what weft ships."""
    for base in cls.__mro__:
        for member in vars(base).values():
            code = getattr(member, "__code__", None)
            if isinstance(code, CodeType) and not code.co_filename.startswith(_OURS):
                yield code


def least_loaded(ticket: Ticket, view: View) -> Replica:
    """The engine with room for a call and the fewest calls; one that drains only if all do."""
    replicas = cast("list[Replica]", view.engines)
    program = ticket.program

    def load(replica: Replica) -> tuple[bool, bool, int, int]:
        closed = replica.draining and not (program.resident and program.home is replica)
        return closed, not replica.has_room(ticket), replica.in_flight, replica.reserved

    return min(replicas, key=load)


# Answers are read into values of weft's own: a policy may change an object that it gave later.


def _order(answer: Order) -> tuple[tuple[float, ...], float, str]:
    if type(answer) is not Order:
        _check(answer, Order)
    key, overdue = answer.key, answer.overdue
    if type(key) is not tuple:
        raise _NoAnswer(f"its key is {_shown(key)}, not a tuple of numbers")
    for part in key:
        if type(part) not in _PLAIN or part != part:
            key = tuple(_number(part, "its key has") for part in key)
            break
    when = math.inf if overdue is None else _number(overdue, "its overdue is")
    return key, when, _reason(answer.reason)


def _placement(answer: Placement, view: View) -> tuple[Replica, str, bool]:
    if type(answer) is not Placement:
        _check(answer, Placement)
    engine, firm, reason = answer.engine, answer.firm, answer.reason
    if not isinstance(engine, Replica) or engine not in view.engines:
        raise _NoAnswer(f"{_shown(engine)} is none of the engines in view")
    if type(firm) is bool and type(reason) is str:
        return engine, reason, firm
    return engine, _reason(reason), _truth(firm, "its firm is")


def _admission(answer: Admission, replica: Replica) -> Admission:
    if type(answer) is not Admission:
        _check(answer, Admission)
    elif answer.enter is True and type(answer.reason) is str:
        return answer
    if _truth(answer.enter, "its enter is"):
        return Admission(True, _reason(answer.reason))
    program = cast(object, answer.displace)
    if program is None:
        return Admission(False, _reason(answer.reason))
    if not (isinstance(program, Program) and program.claim and program.home is replica):
        raise _NoAnswer(f"{_shown(program)}, which it displaces, has no claim on {replica.name}")
    return Admission(False, _reason(answer.reason), program)


def _retention(answer: Retention) -> Retention:
    if type(answer) is not Retention:
        _check(answer, Retention)
    seconds, rank = _number(answer.seconds, "its seconds are"), _number(answer.rank, "its rank is")
    return Retention(seconds, _reason(answer.reason), rank)


def _check(answer: object, wanted: type[Any]) -> None:
    if isinstance(answer, wanted):
        return
    article = "an" if wanted.__name__[0] in "AO" else "a"
    if inspect.iscoroutine(answer):
        answer.close()
        raise _NoAnswer(f"it is async, but must return {article} {wanted.__name__} at once")
    raise _NoAnswer(f"it returned {_shown(answer)}, not {article} {wanted.__name__}")


def _number(value: Any, what: str) -> float:
    """A number that can be compared with others."""
    if type(value) is not float:
        if not hasattr(value, "__float__"):
            raise _NoAnswer(f"{what} {_shown(value)}, which is no number")
        value = float(value)
    if value != value:
        raise _NoAnswer(f"{what} not a number (NaN)")
    return value


def _truth(value: Any, what: str) -> bool:
    if value is True or value is False:
        return value
    if value is None or not hasattr(value, "__bool__"):
        raise _NoAnswer(f"{what} {_shown(value)}, not true or false")
    return bool(value)


def _reason(value: Any) -> str:
    if type(value) is str:
        return value
    if not isinstance(value, str):
        raise _NoAnswer(f"its reason is {_shown(value)}, not a text")
    return str.__str__(value)


def _shown(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, Program):
        return f"program {value.id}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
