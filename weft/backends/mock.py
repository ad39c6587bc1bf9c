"""A scripted engine as an HTTP server, which speaks as vLLM does.

It serves what `VLLMEngine` and `OpenAIEngine` use: models, completions and chat completions
(streamed or not), tokenize, metrics and health.
"""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from weft.backends import script
from weft.backends.mock_forms import (
    chat_choice,
    completion_choice,
    failed,
    failure,
    messages_of,
    sampling,
    usage,
)
from weft.backends.scripted import ScriptedEngine
from weft.errors import WeftError
from weft.types import Delta, Message, Request

Form = Callable[[Delta], dict[str, Any]]
"""Makes a choice, in the form of the endpoint, of a delta."""


def app(engine: ScriptedEngine) -> Starlette:
    """The server's application."""

    async def models(_: HTTPRequest) -> Response:
        card = {"id": engine.model, "object": "model", "owned_by": "vllm"}
        context = engine.context or 1_000_000
        return JSONResponse({"object": "list", "data": [{**card, "max_model_len": context}]})

    async def health(_: HTTPRequest) -> Response:
        return Response(status_code=200 if await engine.healthy() else 503)

    async def metrics(_: HTTPRequest) -> Response:
        load = await engine.load()
        blocks = (engine.kv_tokens or 2**20) // engine.block_size + 1
        lines = [
            f'vllm:num_requests_running{{engine="0"}} {load.running:.1f}',
            f'vllm:num_requests_waiting{{engine="0"}} {load.waiting:.1f}',
            f'vllm:kv_cache_usage_perc{{engine="0"}} {load.kv_usage}',
            f'vllm:cache_config_info{{block_size="{engine.block_size}",'
            f'num_gpu_blocks="{blocks}"}} 1.0',
        ]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def tokenize(http: HTTPRequest) -> Response:
        body = await http.json()
        if "messages" in body:
            open = bool(body.get("continue_final_message"))
            tokens = script.render(messages_of(body), open=open)
            if not open and not body.get("add_generation_prompt", True):
                tokens = tokens[:-1]
        else:
            tokens = script.encode(body["prompt"])
        return JSONResponse({"tokens": tokens, "count": len(tokens), "max_model_len": None})

    async def completions(http: HTTPRequest) -> Response:
        body = await http.json()
        prompt = body["prompt"]
        tokens = script.encode(prompt) if isinstance(prompt, str) else tuple(prompt)
        messages, open = script.parse(tokens)
        messages = messages or (Message("user", script.decode(tokens)),)
        request = Request(
            identity(http, "cmpl"),
            body.get("model") or engine.model,
            messages,
            open,
            tokens,
            sampling(body, body.get("logprobs")),
            ask=tuple(body.get("logprob_token_ids") or ()),
        )
        return Answer(engine, request, body, lambda delta: completion_choice(delta, request))

    async def chat(http: HTTPRequest) -> Response:
        body = await http.json()
        alternatives = body.get("top_logprobs", 0) if body.get("logprobs") else None
        request = Request(
            identity(http, "chatcmpl"),
            body.get("model") or engine.model,
            messages_of(body),
            sampling=sampling(body, alternatives),
        )
        streamed = bool(body.get("stream"))
        scores = dict(engine.scores_of(request)) if alternatives and engine.scores else {}
        return Answer(engine, request, body, lambda delta: chat_choice(delta, streamed, scores))

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/metrics", metrics),
            Route("/v1/models", models),
            Route("/tokenize", tokenize, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
        ]
    )


class Answer(Response):
    """The answer to one request, streamed or whole; the client's leaving cancels it."""

    def __init__(
        self, engine: ScriptedEngine, request: Request, body: dict[str, Any], form: Form
    ) -> None:
        super().__init__()
        self.engine, self.request, self.form = engine, request, form
        self.streamed = bool(body.get("stream"))
        self.kind = "chat.completion" if "messages" in body else "text_completion"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request in the engine while watching for the client to leave."""
        if self.request.model != self.engine.model:
            text = f"The model `{self.request.model}` does not exist."
            await failure(404, text)(scope, receive, send)
            return
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await (self.stream if self.streamed else self.whole)(scope, receive, send)
            tasks.cancel_scope.cancel()

    def head(self) -> dict[str, Any]:
        """What all events begin with."""
        kind = self.kind + (".chunk" if self.streamed and self.kind[0] == "c" else "")
        return {"id": self.request.id, "object": kind, "created": 0, "model": self.engine.model}

    async def whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once."""
        deltas: list[Delta] = []
        try:
            await self.engine.complete(self.request, deltas.append)
        except WeftError as error:
            await failed(error, self.engine)(scope, receive, send)
            return
        last = deltas[-1]
        delta = Delta(
            "".join(delta.text for delta in deltas),
            tuple(token for delta in deltas for token in delta.tokens),
            sum(delta.count for delta in deltas),
            tuple(one for delta in deltas for one in delta.logprobs),
            last.asked,
            last.finish_reason,
            last.ended,
        )
        answer = {**self.head(), "choices": [self.form(delta)], "usage": usage(deltas)}
        await JSONResponse(answer)(scope, receive, send)

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in server-sent events; an engine that dies breaks the connection."""
        deltas: list[Delta] = []
        put, get = anyio.create_memory_object_stream[Delta](math.inf)
        refused: list[WeftError] = []

        async def run() -> None:
            with put:
                try:
                    await self.engine.complete(self.request, put.send_nowait)
                except WeftError as error:
                    refused.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            with get:
                async for delta in get:
                    if not deltas:
                        headers = [(b"content-type", b"text/event-stream")]
                        await send(
                            {"type": "http.response.start", "status": 200, "headers": headers}
                        )
                    deltas.append(delta)
                    await send(event({**self.head(), "choices": [self.form(delta)]}))
        if refused and not deltas:
            await failed(refused[0], self.engine)(scope, receive, send)
        elif refused:
            raise BrokenPipeError(str(refused[0]))
        else:
            await send(event({**self.head(), "choices": [], "usage": usage(deltas)}))
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def event(data: dict[str, Any]) -> dict[str, Any]:
    """A server-sent event as an ASGI message."""
    body = b"data: " + json.dumps(data).encode() + b"\n\n"
    return {"type": "http.response.body", "body": body, "more_body": True}


def identity(http: HTTPRequest, prefix: str) -> str:
    """The request's id: the client's, or one of our own."""
    return http.headers.get("x-request-id") or f"{prefix}-{id(http):x}"


async def serve(engine: ScriptedEngine, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until cancelled or interrupted. Needs asyncio, as uvicorn does."""
    await engine.connect()
    config = uvicorn.Config(app(engine), host=host, port=port, log_level="warning")
    await uvicorn.Server(config).serve()


@contextmanager
def running(engine: ScriptedEngine) -> Generator[str]:
    """Serve on a free port from a thread of its own; gives the address."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)  # so a connection made before uvicorn is up waits for it
        config = uvicorn.Config(app(engine), log_level="critical", lifespan="off")
        server = uvicorn.Server(config)

        async def run() -> None:
            await engine.connect()
            await server.serve(sockets=[listener])

        thread = threading.Thread(target=lambda: anyio.run(run), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
