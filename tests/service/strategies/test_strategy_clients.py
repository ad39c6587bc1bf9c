"""Strategies as models for the official client, over HTTP, on servers of scripted engines."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import anyio
import openai
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import UsageError, WeftError
from weft.orchestrator.pool import Pool
from weft.programs import run
from weft.search import parse_strategy
from weft.service.strategies.offers import StrategyModels
from weft.service.strategies.question import question_of
from weft.service.strategies.request import CHAT, RESPONSES, read
from weft.types import Request

pytestmark = pytest.mark.loops("asyncio")

VOTE = "scripted:majority(n=8, stop_early=false)"


class Front(Response):
    """Answers one request as the gateway does: watching for the client to leave."""

    def __init__(self, models: StrategyModels, body: dict[str, Any], path: str) -> None:
        super().__init__()
        self.models, self.request, self.path = models, body, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            try:
                await self.reply(scope, receive, send)
            except WeftError as error:
                status = 400 if isinstance(error, UsageError) else 503
                await JSONResponse({"error": {"message": str(error)}}, status)(scope, receive, send)
            tasks.cancel_scope.cancel()

    async def reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        model = self.models.find(self.request["model"])
        assert model is not None
        if not self.request.get("stream"):
            whole = await model.whole(self.request, self.path, "p")
            await JSONResponse(whole)(scope, receive, send)
            return
        async with model.answer(self.request, self.path, "p") as events:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving(models: StrategyModels) -> AsyncGenerator[openai.AsyncOpenAI]:
    """A client of the service."""

    async def answer(http: HTTPRequest) -> Response:
        return Front(models, await http.json(), http.url.path)

    app = Starlette(routes=[Route(path, answer, methods=["POST"]) for path in (CHAT, RESPONSES)])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
                yield client
            server.should_exit = True


def by_seed(request: Request) -> str:
    seed = request.sampling.seed or 0
    return f"{'well, ' * (seed % 4)}I think ⚙.\nAnswer: {seed % 3}"


@pytest.fixture
def replicas(request: pytest.FixtureRequest) -> Generator[tuple[list[ScriptedEngine], list[str]]]:
    """Two servers of one model."""
    replies = getattr(request, "param", by_seed)
    engines = [ScriptedEngine(replies, {"yes": 0.6, "no": 0.3}) for _ in range(2)]
    with ExitStack() as stack:
        yield engines, [stack.enter_context(mock.running(engine)) for engine in engines]


Replicas = tuple[list[ScriptedEngine], list[str]]
MESSAGES: Any = [{"role": "user", "content": "what is the question, and of how many tokens?"}]
BODY: dict[str, Any] = {"messages": MESSAGES, "seed": 5, "max_tokens": 60}


async def test_chat(replicas: Replicas) -> None:
    engines, urls = replicas
    async with Pool(*urls) as pool:
        expected = await run(
            parse_strategy("majority(n=8, stop_early=false)"),
            question_of(read(BODY, CHAT)),
            pool=pool,
        )
        async with serving(StrategyModels(pool)) as client:
            answer = await client.chat.completions.create(model=VOTE, **BODY)
            stream = await client.chat.completions.create(
                model=VOTE, **BODY, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
            async with client.chat.completions.stream(model=VOTE, **BODY) as helped:
                final = await helped.get_final_completion()
    choice = answer.choices[0]
    assert choice.message.content == expected.value.text
    assert (choice.finish_reason, answer.model) == ("stop", VOTE)
    about: Any = answer.model_extra
    assert about["weft"]["value"] == expected.value.value
    assert about["weft"]["calls"] == 8
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == expected.usage.prompt
    assert answer.usage.completion_tokens == expected.usage.generated
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == expected.value.text
    assert final.choices[0].message.content == text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == expected.usage.total
    assert chunks[-1].usage.prompt_tokens_details is not None
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens
    assert sum(len(engine.requests) for engine in engines) == 32


async def test_responses(replicas: Replicas) -> None:
    async with Pool(*replicas[1]) as pool, serving(StrategyModels(pool)) as client:
        body = {"input": MESSAGES, "max_output_tokens": 60, "extra_body": {"seed": 5}}
        answer = await client.responses.create(model=VOTE, **body)
        stream = await client.responses.create(model=VOTE, **body, stream=True)
        events = [event async for event in stream]
        async with client.responses.stream(model=VOTE, **body) as helped:
            final = await helped.get_final_response()
        short = await client.responses.create(
            model="scripted:greedy", input="hi", max_output_tokens=3, stream=True
        )
        cut = [event async for event in short]
        expected = await run(
            parse_strategy("majority(n=8, stop_early=false)"),
            question_of(read(BODY, CHAT)),
            pool=pool,
        )
    assert answer.output_text == final.output_text == expected.value.text
    assert answer.status == final.status == "completed"
    assert answer.usage is not None
    assert answer.usage.input_tokens == expected.usage.prompt
    assert answer.usage.total_tokens == expected.usage.total
    kinds = [event.type.removeprefix("response.") for event in events]
    deltas = kinds.count("output_text.delta")
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * deltas,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(texts) == expected.value.text
    assert cut[-1].type == "response.incomplete"
    assert cut[-1].response.incomplete_details is not None
    assert cut[-1].response.incomplete_details.reason == "max_output_tokens"
    assert len(cut[-1].response.output_text) == 3
    about: Any = answer.model_extra
    assert about["weft"]["samples"] == 8


async def test_json_answers_are_voted_on_by_value() -> None:
    written = ['{"n": 1, "m": 2}', '{"m": 2, "n": 1.0}', '{"m": 3, "n": 1}']
    schema = {"type": "object", "properties": {"n": {"type": "number"}}}
    named: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    engine = ScriptedEngine(written)
    with mock.running(engine) as url:
        async with Pool(url) as pool, serving(StrategyModels(pool)) as client:
            answer = await client.chat.completions.create(
                model="scripted:majority(n=3, stop_early=false)",
                messages=MESSAGES,
                response_format=named,
            )
    assert json.loads(answer.choices[0].message.content or "") == {"n": 1, "m": 2}
    about: Any = answer.model_extra
    assert about["weft"]["score"] == pytest.approx(2 / 3)


async def test_errors_have_a_status(replicas: Replicas) -> None:
    async with Pool(*replicas[1]) as pool, serving(StrategyModels(pool)) as client:
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError, match="n can't be used with a strategy"):
                await client.chat.completions.create(
                    model=VOTE, messages=MESSAGES, n=2, stream=stream
                )
        with pytest.raises(openai.BadRequestError, match="did you mean majority"):
            await client.chat.completions.create(model="scripted:majorty(n=2)", messages=MESSAGES)
        with pytest.raises(openai.BadRequestError, match="this task has no exact check"):
            await client.chat.completions.create(
                model="scripted:beam(verifier=function)", messages=MESSAGES, stream=True
            )


@pytest.mark.parametrize("replicas", [Scripted(hangs=True)], indirect=True)
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_cancels_everything(
    replicas: Replicas, path: str, stream: bool
) -> None:
    engines, urls = replicas

    def counted(counter: str) -> int:
        return sum(getattr(engine, counter) for engine in engines)

    async with Pool(*urls) as pool, serving(StrategyModels(pool, keep_alive=0.02)) as client:

        async def ask() -> None:
            if path == CHAT:
                got = await client.chat.completions.create(
                    model=VOTE, messages=MESSAGES, stream=stream
                )
            else:
                got = await client.responses.create(model=VOTE, input="hi", stream=stream)
            assert isinstance(got, openai.AsyncStream), "only a stream gets here"
            async for _ in got:
                pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: counted("running") == 8)
            assert pool.scheduler.in_flight == 8
            tasks.cancel_scope.cancel()
        await until(lambda: counted("cancelled") == 8)
        assert [engine.running for engine in engines] == [0, 0]
        assert pool.scheduler.in_flight == pool.scheduler.waiting == 0
