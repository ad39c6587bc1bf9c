"""What the mock server does at each endpoint."""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from weft.backends.mock import chat as mock_chat
from weft.backends.mock import messages as mock_messages
from weft.backends.mock.answer import MockAnswer
from weft.backends.mock.forms import AnswerForm, sampling, tools_text, unique, vector
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.requests import Received, ScriptRequest
from weft.backends.scripted.vocabulary import CHARACTERS, PIECE, Vocabulary
from weft.errors import RequestRejected
from weft.types import Message

DIMENSIONS = 16
"""Numbers in an embedding, if the request does not say."""

Body = dict[str, Any]
Conversation = Callable[[Body], tuple[Message, ...]]
Handler = Callable[[Received, Body], Awaitable[Response]]


class Endpoints:
    """The endpoints of one engine; those that read a body raise `WeftError` if it won't do."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self.engine = engine
        self.context = engine.context or 1_000_000
        self._started = time.time()

    async def models(self, _: HTTPRequest) -> Response:
        """The model, and further names that the engine was given cards for."""
        card = {"id": self.engine.model, "object": "model", "created": 0, "owned_by": "vllm"}
        card["max_model_len"] = self.context
        more = [{**card, **one} for one in self.engine.cards if one.get("id") != card["id"]]
        return JSONResponse({"object": "list", "data": [card, *more]})

    async def health(self, _: HTTPRequest) -> Response:
        """Whether the engine lives."""
        return Response(status_code=200 if await self.engine.healthy() else 503)

    async def metrics(self, _: HTTPRequest) -> Response:
        """Gauges, as vLLM names them."""
        load = await self.engine.load()
        blocks = (self.engine.kv_tokens or 2**20) // self.engine.block_size + 1
        lines = [
            f"process_start_time_seconds {self._started}",
            f'vllm:num_requests_running{{engine="0"}} {load.running:.1f}',
            f'vllm:num_requests_waiting{{engine="0"}} {load.waiting:.1f}',
            f'vllm:kv_cache_usage_perc{{engine="0"}} {load.kv_usage}',
            f'vllm:num_preemptions_total{{engine="0"}} {load.preemptions:.1f}',
            f'vllm:cache_config_info{{block_size="{self.engine.block_size}",'
            f'num_gpu_blocks="{blocks}"}} 1.0',
        ]
        if self.engine.leases:
            lines.append('weft:leases{engine="0"} 0.0')
            lines.append(f'weft:schedules_by_priority{{engine="0"}} {self.engine.priority:.1f}')
        return PlainTextResponse("\n".join(lines) + "\n")

    async def tokenize(self, _: Received, body: Body) -> Response:
        """The tokens of a text or a conversation."""
        if "messages" in body:
            open = bool(body.get("continue_final_message"))
            tokens = self.prompt_of(body, mock_chat.conversation(body), open=open)
            if not open and not body.get("add_generation_prompt", True):
                tokens = tokens[:-1]
        else:
            tokens = prompt_tokens(body.get("prompt"), "prompt", self.engine.vocabulary)
        return JSONResponse({"tokens": tokens, "count": len(tokens), "max_model_len": self.context})

    async def detokenize(self, _: Received, body: Body) -> Response:
        """The text of tokens."""
        return JSONResponse(
            {"prompt": self.engine.vocabulary.decode(ids(body.get("tokens"), "tokens"))}
        )

    async def count_tokens(self, _: Received, body: Body) -> Response:
        """The tokens of a conversation in Anthropic's form."""
        count = len(self.prompt_of(body, mock_messages.conversation(body)))
        said = {"input_tokens": count, "context_management": {"original_input_tokens": count}}
        return JSONResponse(said)

    async def embeddings(self, _: Received, body: Body) -> Response:
        """A vector for each text."""
        size = body.get("dimensions") or DIMENSIONS
        if not isinstance(size, int) or not 1 <= size <= 4096:
            raise RequestRejected("dimensions must be a whole number from 1 to 4096")
        texts = inputs(body.get("input"))
        vectors = [vector(CHARACTERS.decode(text), size) for text in texts]
        coded = body.get("encoding_format") == "base64"
        rows = [
            {"object": "embedding", "index": at, "embedding": packed(one) if coded else one}
            for at, one in enumerate(vectors)
        ]
        count = sum(map(len, texts))
        used = {"prompt_tokens": count, "total_tokens": count}
        named = {"object": "list", "id": unique("embd-"), "model": self.engine.model}
        return JSONResponse({**named, "data": rows, "usage": used})

    async def completions(self, http: Received, body: Body) -> Response:
        """An answer to a prompt of text or tokens."""
        tokens = prompt_tokens(body.get("prompt"), "prompt", self.engine.vocabulary)
        messages, open = self.engine.vocabulary.parse(tokens)
        messages = messages or (Message("user", self.engine.vocabulary.decode(tokens)),)
        script_request = ScriptRequest(
            identity(http, "cmpl-"),
            self.engine.model,
            messages,
            open,
            tokens,
            sampling(body, body.get("logprobs")),
            ask=tuple(body.get("logprob_token_ids") or ()),
            http=http,
            salt=salt(body),
        )
        form = mock_chat.CompletionAnswer(script_request.id, self.engine.model, body, len(tokens))
        form.ask, form.stops = script_request.ask, script_request.sampling.stop
        return MockAnswer(self.engine, self.engine.admit(script_request), form, http.path)

    def prompt_of(
        self, body: Body, messages: tuple[Message, ...], *, open: bool = False
    ) -> tuple[int, ...]:
        """The prompt: the tools, then the conversation."""
        vocabulary = self.engine.vocabulary
        return vocabulary.encode(tools_text(body)) + vocabulary.render(messages, open=open)

    def generating(self, read: Conversation, write: type[AnswerForm], prefix: str) -> Handler:
        """The handler of an endpoint of conversations."""

        async def handle(http: Received, body: Body) -> Response:
            messages = read(body)
            tokens = self.prompt_of(body, messages)
            top = body.get("top_logprobs", 0) if body.get("logprobs") else None
            script_request = ScriptRequest(
                identity(http, prefix),
                self.engine.model,
                messages,
                tokens=tokens,
                sampling=sampling(body, top),
                http=http,
                salt=salt(body),
            )
            job = self.engine.admit(script_request)
            form = write(script_request.id, self.engine.model, body, len(tokens))
            if isinstance(form, mock_chat.ChatAnswer) and top and self.engine.scores:
                form.scores = dict(self.engine.scores_of(script_request))
            return MockAnswer(self.engine, job, form, http.path)

        return handle


def received(request: HTTPRequest, raw: bytes) -> Received:
    """A request as it came."""
    try:
        body: Any = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    url = request.url
    return Received(request.method, url.path, url.query, dict(request.headers), body, raw)


def prompt_tokens(prompt: Any, field: str, vocabulary: Vocabulary = CHARACTERS) -> tuple[int, ...]:
    """A prompt given as text or tokens."""
    return vocabulary.encode(prompt) if isinstance(prompt, str) else ids(prompt, field)


def ids(tokens: Any, field: str) -> tuple[int, ...]:
    """Token ids in a body."""
    listed = cast("list[Any]", tokens) if isinstance(tokens, list) else None
    top = PIECE + 2**16
    if listed is None or not all(isinstance(one, int) and 0 <= one < top for one in listed):
        raise RequestRejected(f"{field} must be a text or a list of token ids")
    return tuple(listed)


def inputs(given: Any) -> list[tuple[int, ...]]:
    """What to embed: a text, texts, tokens, or lists of tokens."""
    listed = cast("list[Any]", given) if isinstance(given, list) else [given]
    if listed and all(isinstance(one, int) for one in listed):
        listed = [listed]
    if not listed:
        raise RequestRejected("input must be a text, or a list of at least one")
    return [prompt_tokens(one, "input") for one in listed]


def packed(vector: list[float]) -> str:
    """A vector in base64, as OpenAI's client asks for it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def salt(body: Body) -> str:
    """What keeps the request's prompt apart in the prefix cache."""
    given = body.get("cache_salt")
    if given is not None and (not isinstance(given, str) or not given):
        raise RequestRejected("cache_salt must be a text that is not empty")
    return given or ""


def identity(http: Received, prefix: str) -> str:
    """The request's id: the client's, or one of our own."""
    return http.headers.get("x-request-id") or unique(prefix)
