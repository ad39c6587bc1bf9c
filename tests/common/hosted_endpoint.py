"""A small endpoint of chat completions over HTTP that refuses, and writes, as it is told."""

import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Refuse = Callable[[dict[str, Any]], Response | None]


def error(message: str, param: str | None = None, code: str | None = None, status: int = 400):
    """A refusal in OpenAI's form."""
    body = {"error": {"message": message, "type": "invalid", "param": param, "code": code}}
    return JSONResponse(body, status)


def chunk(finish: str | None = None, logprobs: Any = None, **delta: Any) -> dict[str, Any]:
    """An event that adds to the answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"choices": [choice | ({"logprobs": logprobs} if logprobs else {})]}


def data(*events: dict[str, Any] | str) -> bytes:
    """Events as a stream has them."""
    texts = [e if isinstance(e, str) else json.dumps(e) for e in events]
    return "".join(f"data: {text}\n\n" for text in texts).encode()


USED = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
_numbers = itertools.count()
HELLO = data(
    chunk(role="assistant", content=""), chunk(content="hi"), chunk("stop"), USED, "[DONE]"
)


class Endpoint:
    """What the endpoint does: refuse, or stream `answer` in pieces of `size` bytes.

    Attributes:
        bodies: what it was sent.
        headers: with which headers.
    """

    def __init__(self) -> None:
        self.refuse: Refuse = lambda body: None
        self.answer: bytes | Callable[[dict[str, Any]], bytes] = HELLO
        self.kind, self.size = "text/event-stream", 10**6
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def chat(self, request: Request) -> Response:
        """Chat completions."""
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        if (refusal := self.refuse(body)) is not None:
            return refusal
        text = self.answer if isinstance(self.answer, bytes) else self.answer(body)

        async def pieces():
            for at in range(0, len(text), self.size):
                yield text[at : at + self.size]
                await anyio.lowlevel.checkpoint()

        return StreamingResponse(pieces(), media_type=self.kind)

    async def models(self, _: Request) -> Response:
        """The one model."""
        return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model"}]})


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[Endpoint]:
    """The endpoint on a free port, from a thread of its own."""
    # Ports come again, and what weft has learned of a URL stays: so no two endpoints have the same.
    path = f"/{next(_numbers)}/v1"
    routes: Sequence[Route] = [
        Route(f"{path}/chat/completions", endpoint.chat, methods=["POST"]),
        Route(f"{path}/models", endpoint.models),
    ]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        config = uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: anyio.run(server.serve, [listener]), daemon=True)
        thread.start()
        endpoint.url = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
        try:
            yield endpoint
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
