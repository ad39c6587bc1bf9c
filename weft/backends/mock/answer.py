"""How the mock server answers a request to generate: whole, streamed, or not as it should."""

from __future__ import annotations

import math
from typing import Any

import anyio
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from weft.backends.mock.forms import AnswerForm, failure, joined
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.requests import Admitted
from weft.backends.scripted.script import Garbled
from weft.concurrency import TaskGroup
from weft.errors import (
    ContextExceeded,
    EngineBusy,
    EngineUnavailable,
    RequestFailed,
    WeftError,
)
from weft.types import Delta


class MockAnswer(Response):
    """The answer to one request that was taken in; the client's leaving cancels it."""

    def __init__(self, engine: ScriptedEngine, job: Admitted, form: AnswerForm, path: str) -> None:
        super().__init__()
        self.engine, self.job, self.form, self.path = engine, job, form, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request in the engine while watching for the client to leave."""
        async with TaskGroup() as tasks:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            if self.form.body.get("stream"):
                await self.stream(send)
            else:
                await (await self.whole())(scope, receive, send)
            tasks.cancel_scope.cancel()

    async def whole(self) -> Response:
        """MockAnswer at once."""
        deltas: list[Delta] = []
        try:
            await self.engine.perform(self.job, deltas.append)
        except Garbled as error:
            return Response(error.sent, media_type="application/json")
        except WeftError as error:
            return refusal(self.path, error, self.engine)
        return JSONResponse(self.form.whole(joined(deltas)))

    async def stream(self, send: Send) -> None:
        """MockAnswer in server-sent events; an engine that dies breaks the connection."""
        put, get = anyio.create_memory_object_stream[Delta](math.inf)
        failed: list[WeftError] = []

        async def run() -> None:
            with put:
                try:
                    await self.engine.perform(self.job, put.send_nowait)
                except WeftError as error:
                    failed.append(error)

        # As from vLLM, this much comes as soon as the request has been taken in.
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last, generated = None, 0
        async with TaskGroup() as tasks:
            tasks.start_soon(run)
            with get:
                async for delta in get:
                    events = b"" if last else self.form.opening()
                    events += self.form.events(delta)
                    last, generated = delta, generated + delta.count
                    if events:
                        await send(piece(events))
        rest = b""
        if failed and not isinstance(failed[0], Garbled):
            raise BrokenPipeError(str(failed[0]))
        if failed and isinstance(failed[0], Garbled):
            rest = failed[0].sent
        elif last is not None:
            rest = self.form.closing(last, generated)
        await send(piece(rest) | {"more_body": False})


def piece(body: bytes) -> dict[str, Any]:
    """A part of a body as an ASGI message."""
    return {"type": "http.response.body", "body": body, "more_body": True}


def refusal(path: str, error: WeftError, engine: ScriptedEngine) -> Response:
    """The answer for an error of the engine."""
    status = 500 if isinstance(error, EngineUnavailable) else 400
    message, headers = str(error), dict[str, str]()
    if isinstance(error, EngineBusy | RequestFailed):
        status = error.status if error.status >= 400 else 500
    if isinstance(error, EngineBusy) and error.retry_after is not None:
        headers["retry-after"] = f"{error.retry_after:g}"
    if isinstance(error, ContextExceeded):
        message = f"This model's maximum context length is {engine.context} tokens."
    return JSONResponse(failure(path, status, message), status, headers)
