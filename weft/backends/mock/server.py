"""A scripted engine as an HTTP server, which speaks as vLLM does.

It serves chat completions, completions, responses and messages (streamed or not, with tools),
batches, embeddings, tokens and their counts, models, metrics and health.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from weft.backends.mock.answer import MockAnswer, refusal
from weft.backends.mock.batches import MockBatches
from weft.backends.mock.chat import ChatAnswer
from weft.backends.mock.chat import conversation as chat_conversation
from weft.backends.mock.endpoints import Endpoints, Handler, received
from weft.backends.mock.forms import failure
from weft.backends.mock.messages import MessagesAnswer
from weft.backends.mock.messages import messages_of as messages_conversation
from weft.backends.mock.responses import ResponsesAnswer
from weft.backends.mock.responses import conversation as responses_conversation
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.requests import Received, named
from weft.errors import RequestRejected, WeftError


def app(engine: ScriptedEngine) -> Starlette:
    """The server's application."""
    at = Endpoints(engine)

    def post(path: str, handle: Handler) -> Route:
        """A route that reads a body, and answers errors in the endpoint's form."""

        async def serve(request: HTTPRequest) -> Response:
            http = received(request, await request.body())
            engine.received.append(http)
            try:
                if not named(http.body):
                    raise RequestRejected("the body must be a JSON object")
                model = http.body.get("model") or engine.model
                if model != engine.model and all(model != one.get("id") for one in engine.cards):
                    text = f"The model `{model}` does not exist."
                    return JSONResponse(failure(path, 404, text), 404)
                return await handle(http, http.body)
            except WeftError as error:
                return refusal(path, error, engine)

        return Route(path, serve, methods=["POST"])

    chat = at.generating(chat_conversation, ChatAnswer, "chatcmpl-")

    async def line(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The answer to a line of a batch."""
        http = Received("POST", "/v1/chat/completions", "", {}, body, json.dumps(body).encode())
        engine.received.append(http)
        try:
            made = await chat(http, body)
            answer = await made.whole() if isinstance(made, MockAnswer) else made
        except WeftError as error:
            answer = refusal(http.path, error, engine)
        return answer.status_code, json.loads(bytes(answer.body))

    return Starlette(
        routes=[
            *MockBatches(line).routes,
            Route("/health", at.health),
            Route("/metrics", at.metrics),
            Route("/v1/models", at.models),
            post("/tokenize", at.tokenize),
            post("/detokenize", at.detokenize),
            post("/v1/embeddings", at.embeddings),
            post("/v1/completions", at.completions),
            post("/v1/chat/completions", chat),
            post("/v1/responses", at.generating(responses_conversation, ResponsesAnswer, "resp_")),
            post("/v1/messages", at.generating(messages_conversation, MessagesAnswer, "msg_")),
            post("/v1/messages/count_tokens", at.count_tokens),
        ]
    )


async def serve(engine: ScriptedEngine, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until cancelled or interrupted. Needs asyncio, as uvicorn does."""
    await engine.connect()
    config = uvicorn.Config(app(engine), host=host, port=port, log_level="warning")
    await uvicorn.Server(config).serve()


@contextmanager
def running(engine: ScriptedEngine) -> Generator[str]:
    """Serve on a free port from a thread of its own; gives the address."""
    # asyncio sends at once, without Nagle's delay, on sockets that say what they are.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
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
