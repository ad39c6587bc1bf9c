"""waiting: telling the scheduler what a program waits for between its calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

from weft.errors import PartFailed, UsageError
from weft.programs.scope.scope import Doing, Scope, enter, running


@asynccontextmanager
async def waiting(tool: str, *, expects: float | None = None) -> AsyncGenerator[None]:
    """Tell the scheduler that the program waits for a tool for the time of the block.

        async with waiting("pytest", expects=20):
            report = await run_tests()

    So the policy knows for how long the program's room in the engine is worth keeping. How long
    the tool takes is learned under its name. The block appears in the graph as a node. Nothing
    is announced outside any run and pool.

    Args:
        tool: its name, the same each time.
        expects: seconds that it may take this time; None leaves it to what was learned.

    Raises:
        UsageError: the name is empty or no text, or `expects` is no number above 0.
    """
    if not isinstance(cast(object, tool), str) or not tool:
        raise UsageError(
            f"waiting needs the name of what is waited for, such as 'pytest', not {tool!r}"
        )
    number = isinstance(cast(object, expects), int | float) and not isinstance(expects, bool)
    if expects is not None and not (number and 0 < expects < float("inf")):
        raise UsageError(f"waiting expects={expects!r} must be a number of seconds above 0")
    if (scope := running()) is None:
        yield
        return
    with scope.waiting(tool, expects), noted(scope, tool):
        yield


@contextmanager
def noted(
    scope: Scope,
    tool: str,
    *,
    told: Callable[[BaseException], str] = repr,
    uses: Sequence[str] = (),
    **about: Any,
) -> Generator[Scope]:
    """A tool in the graph of a run, as a node; gives the scope in it.

    Args:
        scope: where in which run.
        tool: its name.
        told: what the run's events say of an exception.
        uses: ids of what gave it what it works on.
        **about: more of it, for the run's events.
    """
    id = scope.journal.begin("node", scope.id, name=tool, uses=[*uses], **about)
    try:
        with enter(scope.inside(id, "", Doing(scope.doing, True))) as inside:
            yield inside
    except BaseException as error:
        ended = "failed" if isinstance(error, Exception) else "cancelled"
        cause = error.__cause__ if isinstance(error, PartFailed) else None
        scope.journal.note(ended, id, error=told(error), type=type(cause or error).__name__)
        raise
    scope.journal.note("done", id)
