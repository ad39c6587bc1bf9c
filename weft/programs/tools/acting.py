"""Running what a model called: side by side, with every error a result that the model reads."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread

from weft.backends.retry import Waits
from weft.concurrency import TaskGroup, event_loop, now
from weft.errors import BudgetExceeded, PartFailed, StoreError, TimedOut, WeftError
from weft.parts.faults import blaming, said
from weft.programs.prompt import value_text
from weft.programs.retrying import used_up
from weft.programs.scope import Scope, running
from weft.programs.scope.waiting import noted
from weft.programs.timeouts import Timeout
from weft.programs.tools.dependencies import refused
from weft.programs.tools.kept import keep_result, kept_result
from weft.programs.tools.marking import Tool
from weft.programs.tools.returned import shown
from weft.types import Media, ToolCall, ToolResult, Usage


async def act(
    calls: Sequence[ToolCall],
    tools: Mapping[str, Tool],
    *,
    limit: int | None = None,
    uses: Sequence[str] = (),
) -> list[ToolResult]:
    """Run calls of tools side by side.

    Args:
        calls: with checked arguments; a call with an error is not run.
        tools: by name.
        limit: how many run at once; None for all.
        uses: ids of the model's call that made them, for the graph.

    Returns:
        a result for each call, in the order of the calls.

    Raises:
        BudgetExceeded: a budget in force is used up; the other calls were still run.
    """
    scope = running()
    results: dict[int, ToolResult] = {}
    ended: list[BudgetExceeded] = []
    slots = anyio.Semaphore(limit) if limit is not None else nullcontext()

    async def one(at: int, call: ToolCall, scope: Scope | None) -> None:
        with scope.branches(1) if scope is not None else nullcontext():
            async with slots:
                try:
                    results[at] = await _Acting(scope, tools[call.name], call, uses).result()
                except BudgetExceeded as error:
                    ended.append(error)

    calls = refused(calls)
    deeds = scope.deeds if scope is not None else None
    branches = deeds.branches(scope.branch) if scope is not None and deeds is not None else None
    with scope.branches(-1) if scope is not None else nullcontext():
        async with TaskGroup() as tasks:
            for at, call in enumerate(calls):
                if call.error:
                    results[at] = _failure(call, call.error)
                elif scope is None or branches is None:
                    tasks.start_soon(one, at, call, scope)
                else:  # so that what is done once is known again, whichever tool comes first
                    tasks.start_soon(one, at, call, scope.but(branch=next(branches)))
    if ended:
        raise ended[0]
    return [results[at] for at in range(len(calls))]


class _Acting:
    """One call on its way."""

    def __init__(
        self, scope: Scope | None, tool: Tool, call: ToolCall, uses: Sequence[str]
    ) -> None:
        self._scope, self._tool, self._call, self._uses = scope, tool, call, uses

    async def result(self) -> ToolResult:
        """Run the tool, again where it may be; or give what is kept of it."""
        scope, tool, call = self._scope, self._tool, self._call
        if scope is not None and (kept := kept_result(scope, tool, call)) is not None:
            self._charge(scope, stored=True)
            return kept
        waits: Waits | None = None
        while True:
            if scope is not None:
                self._charge(scope)
            try:
                return await self._attempt()
            except StoreError:
                raise
            except BudgetExceeded as error:
                if scope is not None and used_up(error, scope):
                    raise  # a budget within the tool is the tool's own
                failure: WeftError = error
            except WeftError as error:
                failure = error
            if tool.retry is not None:
                waits = waits or Waits(tool.retry, now())
                wait, again = waits.next(now(), None)
                if again:
                    await anyio.sleep(wait)
                    continue
            cause = failure.__cause__ if isinstance(failure, PartFailed) else None
            return _failure(call, said(cause) if cause is not None else str(failure))

    async def _attempt(self) -> ToolResult:
        scope, tool, call = self._scope, self._tool, self._call
        async with AsyncExitStack() as stack:
            if tool.limit is not None:
                await stack.enter_async_context(_slots(tool))
            if scope is None:
                text, value, media = await self._run()
                return ToolResult(call.id, call.name, text, value, media=media)
            about: dict[str, Any] = {"tool_call": call.id, "arguments": value_text(call.arguments)}
            stack.enter_context(scope.waiting(tool.name, tool.expects))
            inside = stack.enter_context(
                noted(scope, tool.name, told=str, uses=self._uses, **about)
            )
            text, value, media = await self._run()
            if scope.provenance is not None and inside.id is not None:
                text = scope.provenance.text(text, inside.id)
            result = ToolResult(call.id, call.name, text, value, media=media)
            keep_result(scope, tool, call, result)
            return result

    async def _run(self) -> tuple[str, Any, tuple[Media, ...]]:
        """What the tool returns: as text, as it is, and what is to be seen of it.

        Raises:
            PartFailed: the tool raised something.
            TimedOut: the tool took too long.
            WeftError: a call of the tool's own raised it.
        """
        tool, given = self._tool, self._call.arguments
        assert isinstance(given, Mapping)
        with blaming("tool", tool.function):
            if tool.timeout is None:
                value = await _called(tool, given, math.inf)
            else:
                with Timeout(tool.name, tool.timeout) as time:
                    value = await _called(tool, given, time.deadline)
            text, media = shown(value)
            return text, value, media

    def _charge(self, scope: Scope, *, stored: bool = False) -> None:
        """Charge what the tool costs.

        Raises:
            BudgetExceeded: there is less left.
        """
        if not self._tool.dollars:
            return
        usage = Usage(dollars=self._tool.dollars)
        budgets = scope.budgets if not stored or scope.charge_stored else ()
        for one in budgets:
            one.check()
            if not one.affords(usage.dollars):
                raise one.refusal("dollars")
        scope.spend(usage)
        for one in budgets:
            one.charge(usage)


async def _called(tool: Tool, given: Mapping[str, Any], deadline: float) -> Any:
    function = tool.function
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        return await function(**given)
    # Nothing can stop a thread. So cancellation waits for its end; only a timeout does not.
    made: Any = None
    with anyio.CancelScope(shield=True, deadline=deadline) as time:
        made = await anyio.to_thread.run_sync(lambda: function(**given), abandon_on_cancel=True)
    if time.cancelled_caught:
        assert tool.timeout is not None
        raise TimedOut(tool.name, tool.timeout)
    return await made if inspect.isawaitable(made) else made


def _failure(call: ToolCall, words: str) -> ToolResult:
    return ToolResult(call.id, call.name, f"error: {words}", failed=True)


_semaphores: WeakKeyDictionary[Any, WeakKeyDictionary[Any, anyio.Semaphore]] = WeakKeyDictionary()


def _slots(tool: Tool) -> anyio.Semaphore:
    """What holds the calls of a tool to its limit, in this event loop."""
    assert tool.limit is not None
    of_loop = _semaphores.setdefault(event_loop(), WeakKeyDictionary())
    # Methods are tools of each object, with the arguments of the one function.
    return of_loop.setdefault(tool.arguments or tool, anyio.Semaphore(tool.limit))
