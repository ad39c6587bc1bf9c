"""GuardedPolicy: a policy that always answers, whatever the code does that it was written in."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from traceback import format_exception_only
from types import CodeType
from typing import TYPE_CHECKING, cast

from weft.interrupts import is_interrupt
from weft.orchestrator.dispatch.counters import DispatchCounters, Question
from weft.orchestrator.dispatch.guards.policy_answers import (
    NoAnswer,
    read_admission,
    read_order,
    read_placement,
    read_retention,
)
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.policy import Admission, Policy, Retention
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import View

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.ticket import Ticket

_log = logging.getLogger(__name__)
_OURS = str(Path(__file__).parents[3])
_STALL = 1.0  # seconds of a decision that are worth a word: nothing else happens meanwhile
_MOST = 100  # different errors that are logged


class GuardedPolicy:
    """Asks a policy, and decides the plain way where it gives no answer.

    No answer is an exception, something of another type, a number that is none, an engine
    that is not in view, or the displacement of a program that holds no claim on the engine.
    The plain way is: first come, first served, on the engine with room and the fewest calls;
    everyone is admitted, and nobody keeps room. Each such decision is counted, and each error
    logged once, with the line of code that it comes from.

    Ctrl-C passes. A policy that takes its time can't be interrupted, for the
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
        if ticket.plain:
            return (), math.inf, f"{self._let_nobody_in}: first come, first served"
        self._counters.decisions += 1
        begun = perf_counter()
        try:
            found = read_order(self.policy.order(ticket, view))
        except BaseException as error:
            return (), math.inf, f"{self._note_failure('order', error)}: first come, first served"
        if perf_counter() - begun > _STALL:
            self._note_stall("order", perf_counter() - begun)
        return found

    def place(self, ticket: Ticket, view: View) -> tuple[Replica, str, bool]:
        """One of the view's engines for a call, why, and whether it is to wait for that alone."""
        if ticket.plain:
            return _plain_place(ticket, view, self._let_nobody_in)
        self._counters.decisions += 1
        begun = perf_counter()
        try:
            found = read_placement(self.policy.place(ticket, view), view)
        except BaseException as error:
            return _plain_place(ticket, view, self._note_failure("place", error))
        if perf_counter() - begun > _STALL:
            self._note_stall("place", perf_counter() - begun)
        return found

    def admit(self, ticket: Ticket, replica: Replica, view: View) -> Admission:
        """Whether a call may enter an engine; what it displaces holds a claim there."""
        if ticket.plain:
            return Admission(True, "everyone is admitted then")
        self._counters.decisions += 1
        begun = perf_counter()
        try:
            found = read_admission(self.policy.admit(ticket, replica, view), replica)
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
            found = read_retention(self.policy.retain(program, replica, view))
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
        if is_interrupt(error):
            raise error
        self._counters.unanswered[question] += 1
        name = self._name
        if isinstance(error, NoAnswer):
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

    def note_standstill(self, reason: str, seconds: float) -> None:
        """Calls waited for so long though no engine ran one, and nothing else was to come."""
        self._once(
            "admit",
            "standstill",
            f"policy {self._name} let no call start for {seconds:.2g} s ({reason}) though no call "
            "ran and nothing else was to come: calls that wait so take the plain way "
            f"({self._method('admit')})",
        )

    @property
    def _let_nobody_in(self) -> str:
        return f"policy {self._name} let nobody in though no call ran"

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


def _plain_place(ticket: Ticket, view: View, why: str) -> tuple[Replica, str, bool]:
    """The engine with room for a call and the fewest calls; one that drains only if all do."""
    replicas = cast("list[Replica]", view.engines)
    program = ticket.program

    def load(replica: Replica) -> tuple[bool, bool, int, int]:
        closed = replica.draining and not (program.resident and program.home is replica)
        return closed, not replica.has_room(ticket), replica.in_flight, replica.reserved

    replica = min(replicas, key=load)
    return replica, f"{why}: {replica.in_flight} calls run there, the fewest", False
