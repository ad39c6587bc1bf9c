"""What a program spends on engines beside its calls, such as on embeddings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, TypeVar

from weft.errors import EngineError
from weft.orchestrator.estimates.text_lengths import TextSize
from weft.programs.budgets.reservation import Reservation
from weft.programs.scope import Scope, running
from weft.types import NOTHING, Price, Usage

T = TypeVar("T")

Spent = dict[str, Any]
"""For what, of which model, and the usage: as JSON has it."""


async def spend(
    name: str,
    model: str,
    texts: Sequence[str],
    ask: Callable[[], Awaitable[tuple[T, int | None]]],
    *,
    price: Price | None = None,
    engine: str = "",
) -> T:
    """Ask an engine for what is no answer, within the budgets of the run around, and count it.

    It is one call, and a node of the run's graph. What is under way when the program is cancelled
    counts by its estimate; what the engine refuses or fails at, counts nothing.

    Args:
        name: of the node.
        model: which is asked.
        texts: that it reads.
        ask: asks; gives the result, and the tokens of the texts if the engine says them.
        price: of these tokens.
        engine: for messages: who is asked.

    Raises:
        BudgetExceeded: it can't be afforded.
        UsageError: dollars are limited, and there is no price.
        EngineError: as `ask` raises it.
    """
    if (scope := running()) is None:
        return (await ask())[0]
    lengths, usage = scope.pool.text_lengths, NOTHING
    size = TextSize(len(texts), sum(len(one.encode("utf-8", "replace")) for one in texts))
    guess = lengths.tokens(model, size)
    id = scope.journal.begin("node", scope.id, name=name, model=model)
    try:
        for one in scope.budgets:
            one.check_prices(engine if price is None else None)
        with Reservation(scope.budgets) if scope.budgets else nullcontext() as held:
            if held is not None:
                await held.admit(scope.pool, model, guess, 0, price)
            usage = _usage(guess, price)
            value, tokens = await ask()
            if tokens is not None:
                usage = _usage(tokens, price)
                lengths.learn(model, size, tokens)
    except BaseException as error:
        if isinstance(error, EngineError):
            usage = NOTHING
        _count(scope, usage, scope.budgets)
        ended = "failed" if isinstance(error, Exception) else "cancelled"
        scope.journal.note(ended, id, error=repr(error), spent=asdict(usage))
        raise
    _count(scope, usage, scope.budgets)
    spent = asdict(usage)
    scope.journal.note("done", id, spent=spent)
    if scope.paid is not None:
        scope.paid.append({"name": name, "model": model, "usage": spent})
    return value


def spent_before(scope: Scope, several: Sequence[Spent]) -> None:
    """Count again what was spent on a result that comes from the Store.

    Raises:
        BudgetExceeded: the budgets are used up.
    """
    budgets = scope.budgets if scope.charge_stored else ()
    for one in several:
        for limit in budgets:
            limit.check()
        id = scope.journal.begin("node", scope.id, name=one["name"], model=one["model"])
        _count(scope, Usage(**one["usage"]), budgets)
        scope.journal.note("done", id, spent=one["usage"], stored=True)


def _count(scope: Scope, usage: Usage, budgets: Sequence[Any]) -> None:
    scope.spend(usage)
    for one in budgets:
        one.charge(usage)


def _usage(tokens: int, price: Price | None) -> Usage:
    cost = price.of(prompt=tokens, cached=0, completion=0) if price is not None else 0.0
    return Usage(1, tokens, dollars=cost)
