"""warm: an engine reads the stable part of a prompt while the rest is still retrieved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

import anyio
import anyio.abc

from weft.concurrency import TaskGroup, until_idle
from weft.context.turns import added
from weft.errors import BudgetExceeded, EngineError, UsageError
from weft.programs import Event, Prompt, generate, node
from weft.programs.calls.settings import check_more
from weft.programs.history.journal import Journal
from weft.programs.prompt import check_prompt
from weft.programs.scope import Scope, current, enter
from weft.types import MoreSampling

if TYPE_CHECKING:
    from weft.programs.tools.marking import Tool


class warm:
    """Have an engine read a prompt's beginning for the time of a block, while a tool runs.

        async with warm(Prompt.system(RULES).user("The documents:")) as context:
            async for document in retrieve(query):
                context.append(document)
        said = await generate(added(context.prompt, query))

    A call of one token, in the node `warming`, has an engine prefill the prompt. What is appended
    meanwhile is prefilled by further such calls, one after the other: each reads all that has come
    by then (append mode of Stream2LLM, 2025). The call after the block then finds the prefix in
    the engine's cache, and the scheduler sends it there.

    These calls cost what calls cost, and count so: their prompts and one token each, in usage and
    budgets. Leaving the block waits for a call that an engine works on, since the next call needs
    the same prefix; a call that still waits is dropped, for free. An error in the block, or
    cancellation, ends both at once. A call that fails, or that a budget refuses, ends the
    warming, and harms nothing else.

    Engines without a prefix cache gain nothing by this, and it costs twice there.

    Args:
        prompt: what comes before that which is retrieved.
        tools: the tools of the call that follows, which stand before the conversation.
        role: which of the pool's models is to answer.
        **more: settings of the call that follows, as far as they change how prompts are written.

    Attributes:
        prompt: the prompt, with what was appended by now.

    Raises:
        UsageError: there is no prompt, or no such role or setting.
    """

    def __init__(
        self,
        prompt: Prompt,
        *,
        tools: Sequence[Tool | Callable[..., Any]] = (),
        role: str = "solver",
        **more: Unpack[MoreSampling],
    ) -> None:
        check_prompt(prompt)
        check_more(more)
        self.prompt = prompt
        self._tools, self._role, self._more = tools, role, more
        self._sent = self._leaving = False
        self._reading = True
        self._tasks: TaskGroup | None = None
        self._group: anyio.abc.TaskGroup
        self._news: anyio.Event | None = None
        self._scope: Scope

    def append(self, text: str, *, between: str = "\n\n") -> None:
        """Add a text to the prompt's last turn, if that is the user's; else as a turn.

        Args:
            text: a document, for instance.
            between: what is put before it, if it joins a text that does not end with a line's end.
        """
        self.prompt = added(self.prompt, text, between=between)
        self._wake()

    async def __aenter__(self) -> warm:
        if self._tasks is not None:
            raise UsageError("a prompt is warmed once; write warm(...) again for another block")
        self._scope = scope = current()
        scope.model(self._role)  # an unknown role is told here, not in a task that may fail
        # A journal of its own, to hear when its calls are sent.
        own = Journal(self._hear, endless=True)
        own.name = scope.journal.name
        own.belong(scope.journal, scope.id)
        self._tasks = TaskGroup()
        self._group = await self._tasks.__aenter__()
        with enter(scope.but(journal=own)):
            self._group.start_soon(self._follow)
        return self

    async def _follow(self) -> None:
        with self._scope.branches(1):
            await self._read_all()

    async def _read_all(self) -> None:
        while True:
            prompt, self._reading = self.prompt, True
            try:
                await warming(prompt, self._tools, self._role, self._more)
            except (EngineError, BudgetExceeded):
                return  # what could not be warmed is read by the call that follows
            finally:
                self._reading = False
            while self.prompt is prompt and not self._leaving:
                self._news = anyio.Event()
                with self._scope.branches(-1):
                    await self._news.wait()
            if self._leaving:
                return

    def _hear(self, event: Event) -> None:
        if event.kind in ("sent", "done", "failed", "cancelled"):
            self._sent = event.kind == "sent"

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        assert self._tasks is not None
        self._leaving = True
        self._wake()
        with self._scope.branches(-1):
            try:
                if kind is None:
                    await self._take_stored()
            finally:
                if kind is not None or not self._sent:
                    self._group.cancel_scope.cancel()
                ended = await self._tasks.__aexit__(kind, error, trace)
        return ended

    async def _take_stored(self) -> None:
        """Let a rerun take what the first run had read, which comes once all else waits."""
        replay = self._scope.replay
        if replay is None or replay.over(None):
            return
        for _ in range(_TURNS):
            if self._sent or not self._reading:
                return
            await until_idle()


_TURNS = 5
"""How often all else waits until a stored result has come, at most."""


@node
async def warming(
    prompt: Prompt,
    tools: Sequence[Tool | Callable[..., Any]],
    role: str,
    more: MoreSampling,
) -> None:
    """Have an engine read a prompt; the one token that it answers is no answer."""
    await generate(prompt, max_tokens=1, temperature=0.0, tools=tools, role=role, **more)
