"""@program and @node: functions that appear in a run's graph."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Literal, ParamSpec, TypeVar

from weft.programs.calls.completion import Completion
from weft.programs.prompt import Prompt
from weft.programs.scope import enter, running

P = ParamSpec("P")
T = TypeVar("T")


def program(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Mark an async function as a program: something that `run` runs.

    The function stays an ordinary function. A program that another program calls appears in
    the graph as a part of the caller.
    """
    return _traced(function, "program")


def node(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Mark an async function as a part of a program. The graph shows the node by its name.

    The function stays an ordinary function, and can be called in a plain test.
    """
    return _traced(function, "node")


def _traced(
    function: Callable[P, Awaitable[T]], kind: Literal["program", "node"]
) -> Callable[P, Coroutine[Any, Any, T]]:
    @functools.wraps(function)
    async def traced(*args: P.args, **kwargs: P.kwargs) -> T:
        if (scope := running()) is None:
            return await function(*args, **kwargs)
        name = getattr(function, "__name__", kind)
        uses = calls_behind((*args, *kwargs.values()))
        id = scope.journal.begin(kind, scope.id, name=name, uses=uses)
        try:
            with enter(scope.inside(id, name, scope.siblings)):
                result = await function(*args, **kwargs)
        except BaseException as error:
            ended = "failed" if isinstance(error, Exception) else "cancelled"
            scope.journal.note(ended, id, error=repr(error))
            raise
        scope.journal.note("done", id)
        return result

    return traced


def calls_behind(values: Iterable[object]) -> list[str]:
    """Ids of the calls that produced the Prompts and Completions among some values."""
    found: list[str] = []
    for value in values:
        if isinstance(value, list | tuple):
            found += calls_behind(value)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, Completion):
            found.append(value.call)
        elif isinstance(value, Prompt):
            found += [piece.call for piece in value.lineage() if piece.call is not None][:1]
    return list(dict.fromkeys(found))
