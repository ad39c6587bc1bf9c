"""Rendering: the token ids of texts and conversations, by any engine that serves a model."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio

from weft.backends.engine import Engine
from weft.errors import EngineBusy, EngineUnavailable
from weft.orchestrator.attempts.attempts import BusyEngines
from weft.orchestrator.scheduler import Scheduler
from weft.orchestrator.tokens.token_memo import TokenMemo, Tokens
from weft.parts.faults import blaming, expect
from weft.types import Message

Ask = Callable[[Engine], Awaitable[Tokens]]


class Rendering:
    """Asks engines for token ids; however many ask for the same at once, an engine is asked once.

    Args:
        scheduler: knows the engines, while they are there.
    """

    def __init__(self, scheduler: Callable[[], Scheduler]) -> None:
        self._scheduler = scheduler
        self._memo = TokenMemo()

    async def render(
        self,
        model: str,
        messages: tuple[Message, ...],
        *,
        open: bool,
        template: Mapping[str, Any] | None,
    ) -> tuple[int, ...]:
        """The ids of a conversation.

        Raises:
            RequestRejected: the model's chat template refuses the conversation.
        """
        # Engines whose templates have no settings need not know of them.
        settings: dict[str, Any] = {"template": template} if template else {}
        return await self._memo.get(
            (model, messages, open, json.dumps(template, sort_keys=True)),
            lambda: self._any(model, lambda e: e.render(messages, open=open, **settings)),
        )

    async def tokenize(self, model: str, text: str) -> tuple[int, ...]:
        """The ids of a text."""
        return await self._memo.get(
            (model, text), lambda: self._any(model, lambda e: e.tokenize(text))
        )

    async def _any(self, model: str, ask: Ask) -> Tokens:
        """Ask the least busy engine that serves the model; the next one if that one fails.

        As calls do, it waits while no engine is left, or all are busy.
        """
        scheduler, busy = self._scheduler(), BusyEngines()
        while True:
            await scheduler.await_engine(model)
            living = scheduler.engines_of(model)
            living.sort(key=lambda r: r.in_flight)
            try:
                return await scheduler.send_unscheduled(living, lambda r: _ids(r.engine, ask))
            except EngineUnavailable:
                if scheduler.engines_of(model):
                    raise
            except EngineBusy as error:
                busy.note(living[-1], error.retry_after, scheduler.clock())
                wait = busy.first(scheduler.clock())
                if wait is None:
                    raise
                await anyio.sleep(wait)


async def _ids(engine: Engine, ask: Ask) -> Tokens:
    """What an engine says, if it is token ids."""
    with blaming("engine", type(engine)):
        ids = expect(await ask(engine), tuple, "its token ids", awaited=True)
        if ids and not isinstance(ids[0], int):
            raise TypeError(f"its token ids must be whole numbers, not {ids[0]!r}")
        return ids
