"""Budgets: nestable limits on tokens, calls, seconds and dollars that are enforced."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, cast

import anyio

from weft.errors import BudgetExceeded, UsageError
from weft.orchestrator.programs.program import Bounds
from weft.programs.budgets.limits import Amounts, Limits
from weft.programs.scope import Scope, current, enter
from weft.types import Usage

if TYPE_CHECKING:
    from weft.programs.budgets.reservation import Reservation
    from weft.programs.history.replay import Replay

_GRACE = 0.5  # seconds for a program to give its best so far after its time is up
_ROUNDING = 1e-9  # of a limit in dollars: sums of many small prices are not exact


class budget:
    """Limit what the block may spend.

        with budget(tokens=1000) as limit:
            answer = await generate(prompt)

    A call starts when its prompt and the longest answer it may give fit what is left. What is
    left is neither spent nor held by calls in flight. Until then the call waits. If waiting
    brings no more, the call is held to fewer tokens. If not even the first token of an answer
    would ever fit, the call raises `BudgetExceeded`. A call that was held to fewer tokens, and
    reaches them, raises `BudgetExceeded` too; the error's `text` is what the call had written.
    A program catches the error and gives its best so far.

    Budgets nest. What is spent inside an inner budget counts for the outer one, and both hold.

    No more is spent than the limit, with one exception, which `late` counts: what engines
    report late. This is the true length of a prompt sent as text, several tokens in one piece,
    or tokens that were under way when a call was aborted. If late tokens cross a limit, every
    call in flight is aborted.

    `seconds` limit the whole block. When the time is up, calls are aborted. What still runs
    half a second later, such as a tool, is cancelled, and the block raises `BudgetExceeded`.

    Args:
        limits: the limits as one object, in place of the keywords.
        tokens: prompt and generated tokens together.
        calls: calls that reach an engine.
        seconds: wall-clock time.
        dollars: by the engines' prices.

    Attributes:
        limits: what may be spent.
        spent: what was spent.
        exceeded: the error of the first limit that was crossed; None if none was.
        deadline: when the time is up, on anyio's clock.
        around: when the first timeout around it ends that is no budget's; known where time that
            stored results took counts.

    Raises:
        UsageError: a limit is not above 0, or dollars are limited and an engine has no price.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        tokens: int | None = None,
        calls: int | None = None,
        seconds: float | None = None,
        dollars: float | None = None,
    ) -> None:
        given = Limits(tokens, calls, seconds, dollars)
        if not isinstance(cast(object, limits), Limits | None):
            raise UsageError(
                f"budget takes Limits, or keywords such as tokens=1000, not {limits!r}"
            )
        if limits is not None and given != Limits():
            raise UsageError("budget takes Limits or keywords, not both; put all into the Limits")
        self.limits = given if limits is None else limits
        self.spent = Usage()
        self.exceeded: BudgetExceeded | None = None
        self.deadline = math.inf
        self.held = Amounts()
        self.queue: OrderedDict[Reservation, None] = OrderedDict()
        """Calls that wait for what others hold, first come first."""
        self.around: float | None = None
        self._reservations: set[Reservation] = set()
        self._noted = False
        self._replay: Replay | None = None
        self._skipped = 0.0
        self._ahead = False
        """Whether reservations do not know yet how much earlier the time is up."""

    @property
    def late(self) -> int:
        """Tokens beyond the limit, which engines reported only when the tokens were spent."""
        return max(0, self.spent.total - self.limits.tokens) if self.limits.tokens else 0

    def __enter__(self) -> budget:
        scope = current()
        self.check_prices(scope.pool.models.without_price() if self.limits.dollars else None)
        self._journal = scope.journal
        self._scope_id = scope.id
        self._around = scope.budgets
        self._started = anyio.current_time()
        self._time = anyio.CancelScope()
        if self.limits.seconds is not None:
            self.deadline = self._started + self.limits.seconds
            grace = [_GRACE, *((t.deadline - self.deadline) / 2 for t in scope.timeouts)]
            self._time.deadline = self.deadline + min(g for g in grace if g > 0)
            if scope.replay is not None and scope.charge_stored:
                self.around = timeout(scope)
                self._replay = scope.replay
                self._replay.charge_time(self)
        self._time.__enter__()
        self._bind(scope)
        self._entered = enter(scope.but(budgets=(*scope.budgets, self)))
        self._entered.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self._entered.__exit__(None, None, None)
        if self._replay is not None:
            self._replay.leave(self)
        if self._program is not None and self._bounds is not None:
            self._program.unbind(self._bounds)
        swallowed = self._time.__exit__(kind, error, trace)
        if self._time.cancelled_caught:
            raise (first_over(self._around, self.deadline) or self).out_of_time()
        return swallowed

    def _bind(self, scope: Scope) -> None:
        """Tell the scheduler what bounds the program, unless it is a branch's budget only."""
        self._program = program = scope.program if scope.siblings == 1 else None
        self._bounds = None
        if program is not None:
            limits, calls, tokens = self.limits, self.limits.calls, self.limits.tokens
            self._bounds = Bounds(
                self.deadline if limits.seconds is not None else None,
                program.calls + calls if calls is not None else None,
                program.computed + tokens if tokens is not None else None,
            )
            program.bind(self._bounds)

    def check_prices(self, free: str | None) -> None:
        """Raise if dollars are limited and an engine, `free`, has no price."""
        if self.limits.dollars is not None and free is not None:
            raise UsageError(
                f"budget dollars={self.limits.dollars:g} needs prices, and engine {free} has none; "
                "give the engine price=Price(...)"
            )

    def check(self) -> None:
        """Raise if the budget is used up."""
        if self.exceeded is None and anyio.current_time() >= self.deadline:
            self.out_of_time()
        if self.exceeded is not None:
            raise BudgetExceeded(self.exceeded.resource, self.exceeded.limit, self.exceeded.spent)

    def out_of_time(self) -> BudgetExceeded:
        """Note that the time is up."""
        assert self.limits.seconds is not None
        spent = anyio.current_time() - self._started + self._skipped
        self._cross("seconds", self.limits.seconds, spent)
        assert self.exceeded is not None
        return self.exceeded

    def skip(self, seconds: float) -> None:
        """Count time that a stored result took the first time, and does not take now.

        Thousands of calls may wait for results, so they are told only when the time is up, or
        by `settle`.
        """
        self._skipped += seconds
        self.deadline -= seconds
        self._time.deadline -= seconds
        self._ahead = True
        if self.deadline <= anyio.current_time():
            self.settle()
        if self._program is not None and self._bounds is not None:
            self._program.unbind(self._bounds)
            self._bounds = replace(self._bounds, deadline=self.deadline)
            self._program.bind(self._bounds)

    @property
    def unsettled(self) -> float:
        """When `settle` must have been called; infinite if it need not be."""
        return self.deadline if self._ahead else math.inf

    def settle(self) -> None:
        """Have calls under way end when the time is up, of which some was skipped."""
        if self._ahead:
            self._ahead = False
            for reservation in self._reservations:
                reservation.scope.deadline = min(reservation.scope.deadline, self.deadline)

    def rooms(
        self, prompt: int, prompt_price: float = 0.0, price: float = 0.0
    ) -> Iterator[tuple[str, float, float]]:
        """What there is for the answer to a prompt, limit by limit.

        Args:
            prompt: tokens of the prompt.
            prompt_price: dollars for each of them.
            price: dollars for each token of the answer.

        Yields:
            the limit's name; tokens of an answer that fit now; those that would fit if all
            that is held came back.
        """
        limits, spent, held = self.limits, self.spent, self.held
        if limits.calls is not None:
            left = limits.calls - spent.calls
            yield "calls", _one(left - held.calls), _one(left)
        if limits.tokens is not None:
            left = limits.tokens - spent.total - prompt
            yield "tokens", left - held.tokens, left
        if limits.dollars is not None:
            left = limits.dollars * (1 + _ROUNDING) - spent.dollars - prompt * prompt_price
            yield "dollars", _affordable(left - held.dollars, price), _affordable(left, price)

    def affords(self, dollars: float) -> bool:
        """Whether so much is left that is neither spent nor held."""
        limit = self.limits.dollars
        taken = self.spent.dollars + self.held.dollars + dollars
        return limit is None or taken <= limit * (1 + _ROUNDING)

    def refusal(self, resource: str, prompt: int = 0) -> BudgetExceeded:
        """The error for what does not fit what is left."""
        limit = getattr(self.limits, resource)
        spent = self.spent.total if resource == "tokens" else getattr(self.spent, resource)
        error = BudgetExceeded(resource, limit, spent, 0 if resource == "calls" else prompt)
        self._note(error)
        return error

    def charge(self, usage: Usage) -> None:
        """Count what was spent, and abort what is in flight if that crosses a limit."""
        self.spent += usage
        tokens, dollars = self.limits.tokens, self.limits.dollars
        if tokens is not None and self.spent.total > tokens:
            self._cross("tokens", tokens, self.spent.total)
        if dollars is not None and self.spent.dollars > dollars * (1 + _ROUNDING):
            self._cross("dollars", dollars, self.spent.dollars)

    def join(self, reservation: Reservation) -> None:
        """A call is to be aborted when a limit is crossed."""
        self._reservations.add(reservation)

    def leave(self, reservation: Reservation) -> None:
        """A call is over."""
        self._reservations.discard(reservation)
        self.wake()

    def wake(self) -> None:
        """Have the first that waits look again."""
        if self.queue:
            next(iter(self.queue)).wake()

    def _cross(self, resource: str, limit: float, spent: float) -> None:
        if self.exceeded is not None:
            return
        self.exceeded = BudgetExceeded(resource, limit, spent)
        self._note(self.exceeded)
        for reservation in self._reservations:
            reservation.scope.cancel()

    def _note(self, error: BudgetExceeded) -> None:
        if not self._noted:
            self._noted = True
            resource, limit, spent = error.resource, error.limit, error.spent
            self._journal.note(
                "budget", resource, self._scope_id, resource=resource, limit=limit, spent=spent
            )


def first_over(budgets: Iterable[budget], ends: float) -> budget | None:
    """The first budget, if any, whose time was up when something else ended.

    Args:
        budgets: outermost first.
        ends: when that was, on anyio's clock.
    """
    over = [b for b in budgets if b.deadline <= ends]
    return min(over, key=lambda b: b.deadline, default=None)


def timeout(scope: Scope) -> float:
    """When the first timeout ends in which the code is; infinite without one.

    Budgets whose time passes as the first time are none, and neither are timeouts that end calls
    as the first time.
    """
    ends, around, first = anyio.current_effective_deadline(), math.inf, math.inf
    for one in (*scope.budgets, *scope.timeouts):
        if one.around is not None:
            around, first = min(around, one.around), min(first, one.deadline)
    return ends if ends < first else around


def _one(calls: int) -> float:
    return math.inf if calls >= 1 else 0


def _affordable(dollars: float, price: float) -> float:
    """Tokens that an amount pays for."""
    if dollars < 0:
        return -1
    return math.floor(dollars / price * (1 + _ROUNDING)) if price > 0 else math.inf
