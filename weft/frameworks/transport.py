"""A transport that hands requests of OpenAI's clients to the pool around them, in place of HTTP."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, cast

import anyio
import httpx
import openai

from weft.concurrency import TaskGroup
from weft.errors import EngineUnavailable, UnknownName, Unsupported, UsageError, WeftError
from weft.frameworks.chat_answer import ChatCompletion
from weft.frameworks.chat_request import ChatRequest, read_chat
from weft.frameworks.forks import Forks
from weft.orchestrator.hosted import Hosted
from weft.orchestrator.pool import ROLES
from weft.parsers.tool_calls.streamed import AnswerBeforeCalls
from weft.programs.calls.completion import Completion
from weft.programs.calls.generate import generate
from weft.programs.prompt import Prompt
from weft.programs.scope import Scope, current, enter
from weft.types import ToolCall

ADDRESS = "http://pool.invalid/v1"
"""What stands where clients want an address; nothing is sent there."""
KEY = "none"
_REMEMBERED = 1024  # answers


def pool_client() -> openai.AsyncOpenAI:
    """A client of OpenAI's whose chat completions are calls of the run around them.

    The client's `model` is a role of the pool, or the name of one of its models. What goes wrong
    is raised as it is: `BudgetExceeded`, `EngineError` and the like, which are errors of OpenAI's
    library then, too. Nothing is sent again by the client, for the scheduler does that.
    """
    given: Any = http_clients()[1]  # OpenAI's library takes clients of httpx and of httpx2
    client = openai.AsyncOpenAI(
        api_key=KEY, base_url=ADDRESS, max_retries=0, timeout=None, http_client=given
    )
    return at_once(client)


def at_once(client: openai.AsyncOpenAI) -> openai.AsyncOpenAI:
    """Have a client's first request come at once, and so together with those beside it.

    Before its first request the client finds out in a thread on what system it runs, to tell that
    to OpenAI.
    """
    if hasattr(client, "_platform"):
        setattr(client, "_platform", "Unknown")  # noqa: B010, a private part
    return client


def http_clients() -> tuple[httpx.Client, httpx.AsyncClient]:
    """The clients under OpenAI's own: a blocking one, which refuses all, and one that serves."""
    blocking = httpx.Client(transport=_NotBlocking(), timeout=None)
    return blocking, httpx.AsyncClient(transport=PoolTransport(), timeout=None)


class PoolTransport(httpx.AsyncBaseTransport):
    """Answers chat completions by `generate`, in the scope of the code that asks.

    Cancelling a request, or leaving a stream, aborts the call in its engine. An answer that comes
    back in a later request keeps the tokens that the model produced.
    """

    def __init__(self) -> None:
        self._forks = Forks()
        self._answers: OrderedDict[tuple[Any, ...], Prompt] = OrderedDict()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx.

        Raises:
            WeftError: as `generate` raises it.
            httpx.ReadTimeout: the client's own timeout is over.
        """
        try:
            if (request.method, request.url.path) != ("POST", "/v1/chat/completions"):
                raise Unsupported(
                    f"{request.url.path} is none of what a pool answers; use chat completions"
                )
            body = json.loads(await request.aread())
            scope = current()

            def remembered(prompt: Prompt, text: str, calls: tuple[ToolCall, ...]) -> Prompt | None:
                return self._answers.get(_place(scope, prompt, text, calls))

            asked = read_chat(body, remembered)
            scope = _asking(scope, asked.model)
            seconds: float | None = request.extensions.get("timeout", {}).get("read")
            with anyio.CancelScope() as time:
                if seconds is not None:
                    time.deadline = anyio.current_time() + seconds
                return await self._answered(scope, asked)
            raise httpx.ReadTimeout(f"no answer within {seconds:g} seconds", request=request)
        except WeftError as error:
            raise surfaced(error) from error

    async def _answered(self, scope: Scope, asked: ChatRequest) -> httpx.Response:
        form = ChatCompletion(scope.model(asked.model))
        if asked.stream:
            stream = _Pieces(form, asked, lambda tell: self._said(scope, asked, tell))
            await stream.begin()
            return httpx.Response(200, headers=_EVENTS, stream=stream)
        return httpx.Response(200, json=form.whole(await self._said(scope, asked, None)))

    async def _said(
        self, scope: Scope, asked: ChatRequest, tell: Callable[[str | None], None] | None
    ) -> list[Completion[Any]]:
        async with self._forks.branch(scope) as inside:
            if tell is not None:
                inside = inside.but(live=_also(tell, inside.live))
            with enter(inside):
                settings: dict[str, Any] = asked.settings | {"role": asked.model}
                if asked.n > 1:
                    found: Any = await generate(asked.prompt, n=asked.n, **settings)
                else:
                    found = [await generate(asked.prompt, **settings)]
        answers = cast("list[Completion[Any]]", found)
        for one in answers:
            place = _place(scope, asked.prompt, one.text, one.prompt.calls)
            self._answers[place] = one.prompt
            if len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return answers


_EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


def _place(scope: Scope, prompt: Prompt, text: str, calls: tuple[ToolCall, ...]) -> tuple[Any, ...]:
    """By what an answer is known again; frameworks may write its calls' JSON anew."""
    told = tuple([(one.id, one.name, _plain(one.text)) for one in calls])
    return scope.journal.name, prompt.key, text.strip(), told


def _plain(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return text


def _also(
    tell: Callable[[str | None], None], outer: Callable[[str, str | None], None] | None
) -> Callable[[str, str | None], None]:
    def live(call: str, text: str | None) -> None:
        tell(text)
        if outer is not None:
            outer(call, text)

    return live


def _asking(scope: Scope, name: str) -> Scope:
    """The scope in which a role, or a model's name, is a role."""
    pool = scope.pool
    if name in scope.roles:
        return scope
    try:
        pool.model(name)
    except UnknownName as error:
        models = {one.model for one in pool.engines}
        if name not in models:
            known = {*ROLES, *error.known, *models}
            raise UnknownName("role or model", name, known) from None
        return scope.but(roles={**scope.roles, name: name})
    return scope


class _Pieces(httpx.AsyncByteStream):
    """A streamed answer. The call runs in a task of its own, for streams may change theirs."""

    def __init__(
        self,
        form: ChatCompletion,
        asked: ChatRequest,
        ask: Callable[[Callable[[str | None], None]], Any],
    ) -> None:
        self._form, self._asked, self._ask = form, asked, ask
        self._put, self._get = anyio.create_memory_object_stream[bytes | WeftError](math.inf)
        self._before = AnswerBeforeCalls() if asked.settings.get("tools") else None
        self._given, self._again = "", ""  # what the client has; of that, what must come again
        self._call = Hosted(self._running())
        self._first: bytes = b""

    async def begin(self) -> None:
        """Wait for the first text, or the end.

        Raises:
            WeftError: the call has failed before.
        """
        await self._call.open()
        try:
            first = await self._get.receive()
            if isinstance(first, WeftError):
                raise first
        except BaseException:
            await self.aclose()
            raise
        self._first = self._form.begin() + first

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            piece = await self._get.receive()
            if isinstance(piece, WeftError):
                raise surfaced(piece) from piece
        except BaseException as error:
            await self.aclose()
            if isinstance(error, anyio.EndOfStream | anyio.ClosedResourceError):
                raise StopAsyncIteration from None
            raise
        return piece

    async def aclose(self) -> None:
        """End the call, if it still runs."""
        await self._call.close()
        self._get.close()

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        async with TaskGroup() as tasks:
            tasks.start_soon(self._work)
            yield
            tasks.cancel_scope.cancel()

    async def _work(self) -> None:
        with self._put:
            try:
                (answer,) = await self._ask(self._tell)
                rest = answer.text.lstrip() if self._before is not None else answer.text
                rest = _behind(self._given, rest)
                self._put.send_nowait(self._form.end(answer, rest, self._asked.usage))
            except WeftError as error:
                self._put.send_nowait(error)

    def _tell(self, text: str | None) -> None:
        """The answer has more text; or it comes anew, from another engine."""
        if text is None:
            self._again = self._given
            self._before = AnswerBeforeCalls() if self._before is not None else None
            return
        sure = text if self._before is None else self._before.feed(text)
        if self._again:
            both = min(len(self._again), len(sure))
            _behind(self._again[:both], sure)
            self._again, sure = self._again[both:], sure[both:]
        if sure:
            self._given += sure
            self._put.send_nowait(self._form.more(sure))


def _behind(given: str, text: str) -> str:
    """What of a text the client does not have yet.

    Raises:
        EngineUnavailable: the client has something else.
    """
    if not text.startswith(given):
        raise EngineUnavailable(
            "an engine died in the midst of a streamed answer, and another one answers "
            "differently; ask again"
        )
    return text[len(given) :]


class _NotBlocking(httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise surfaced(
            UsageError("a pool is asked without blocking: await ainvoke, or what else is async")
        )


def surfaced(error: WeftError) -> WeftError:
    """The same error, as one that OpenAI's client hands on: it would send again after others."""
    made = _handed_on(type(error))
    new = made.__new__(made)
    new.args = error.args
    vars(new).update(vars(error))
    return new


@cache
def _handed_on(kind: type[WeftError]) -> type[WeftError]:
    if issubclass(kind, openai.OpenAIError):
        return kind

    def reduced(self: WeftError) -> tuple[Any, ...]:
        restore, (_, *rest) = kind.__reduce__(self)
        return restore, (kind, *rest)

    about = {"__reduce__": reduced, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind, openai.OpenAIError), about)
