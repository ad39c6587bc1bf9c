"""Budgets: nestable limits on tokens, calls, seconds and dollars that are enforced."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from types import TracebackType

import anyio

from weft.errors import BudgetExceeded, UsageError
from weft.programs.scope import current, entered
from weft.types import Usage

_GRACE = 0.5  # seconds for a program to give its best so far after its time is up


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent; None is no limit.

    Attributes:
        tokens: prompt and generated tokens together.
        calls: calls that reach an engine.
        seconds: wall-clock time from where the budget is opened.
        dollars: by the engines' prices.
    """

    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    dollars: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            limit = getattr(self, f.name)
            if limit is not None and not (isinstance(limit, int | float) and limit > 0):
                raise UsageError(
                    f"budget {f.name}={limit!r} must be a number above 0; leave it out for no limit"
                )


class budget:
    """Limit what the block may spend.

    When a limit is crossed, every call in flight under this budget is aborted in its engine
    and raises `BudgetExceeded` where it was awaited; so does every later call. A call that
    can't be afforded to begin with (one too many, or a prompt longer than the tokens left)
    is refused with the same error, and those in flight go on. A program catches the error
    and gives its best so far. Budgets nest: what is spent inside counts outside.

    Time runs for everything: what still runs half a second after `seconds` (a tool, say) is
    cancelled, and the block raises `BudgetExceeded`.

    Raises:
        UsageError: a limit is not above 0, or dollars are limited and an engine has no price.
    """

    def __init__(
        self,
        *,
        tokens: int | None = None,
        calls: int | None = None,
        seconds: float | None = None,
        dollars: float | None = None,
    ) -> None:
        self.limits = Limits(tokens, calls, seconds, dollars)
        self.spent = Usage()
        self.exceeded: BudgetExceeded | None = None
        self.deadline = math.inf
        self._in_flight: set[anyio.CancelScope] = set()

    def __enter__(self) -> budget:
        scope = current()
        if self.limits.dollars is not None and (free := scope.pool.without_price()):
            raise UsageError(
                f"budget dollars={self.limits.dollars:g} needs prices, and engine {free} has none; "
                "give the engine price=Price(...)"
            )
        self._journal = scope.journal
        self._scope_id = scope.id
        self._started = anyio.current_time()
        self._time = anyio.CancelScope()
        if self.limits.seconds is not None:
            self.deadline = self._started + self.limits.seconds
            self._time.deadline = self.deadline + _GRACE
        self._time.__enter__()
        self._entered = entered(replace(scope, budgets=(*scope.budgets, self)))
        self._entered.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self._entered.__exit__(None, None, None)
        swallowed = self._time.__exit__(kind, error, trace)
        if self._time.cancelled_caught:
            raise self.out_of_time()
        return swallowed

    def check(self) -> None:
        """Raise if the budget is used up."""
        if self.exceeded is None and anyio.current_time() >= self.deadline:
            self.out_of_time()
        if self.exceeded is not None:
            raise BudgetExceeded(self.exceeded.resource, self.exceeded.limit, self.exceeded.spent)

    def out_of_time(self) -> BudgetExceeded:
        """Note that the time is up."""
        assert self.limits.seconds is not None
        self._cross("seconds", self.limits.seconds, anyio.current_time() - self._started)
        assert self.exceeded is not None
        return self.exceeded

    def charge(self, usage: Usage) -> None:
        """Count what was spent, and abort what is in flight if that crosses a limit."""
        self.spent += usage
        for resource, limit, spent in (
            ("tokens", self.limits.tokens, self.spent.total),
            ("dollars", self.limits.dollars, self.spent.dollars),
        ):
            if limit is not None and spent > limit:
                self._cross(resource, limit, spent)

    def admit(self, scope: anyio.CancelScope, *, prompt_tokens: int) -> None:
        """Let a call in flight, or refuse it by raising if it can't be afforded.

        Refusing one call leaves those in flight alone: they were affordable.
        """
        self.check()
        calls, tokens = self.limits.calls, self.limits.tokens
        if calls is not None and self.spent.calls + len(self._in_flight) >= calls:
            raise BudgetExceeded("calls", calls, self.spent.calls + len(self._in_flight))
        if tokens is not None and self.spent.total + prompt_tokens >= tokens:
            raise BudgetExceeded("tokens", tokens, self.spent.total + prompt_tokens)
        self._in_flight.add(scope)

    def release(self, scope: anyio.CancelScope) -> None:
        """A call is no longer in flight."""
        self._in_flight.discard(scope)

    def _cross(self, resource: str, limit: float, spent: float) -> None:
        if self.exceeded is not None:
            return
        self.exceeded = BudgetExceeded(resource, limit, spent)
        self._journal.note(
            "budget", f"{resource}", self._scope_id, resource=resource, limit=limit, spent=spent
        )
        for scope in self._in_flight:
            scope.cancel()
