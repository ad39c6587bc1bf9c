"""An engine that is any endpoint speaking OpenAI's chat completions."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import openai

from weft.backends.engine import Engine, OnDelta
from weft.backends.http.client import CONNECT, SILENCE, certificates, check_address
from weft.backends.http.refusals import GARBLED, garbled, used_up
from weft.backends.openai.chat import Wanted, relay
from weft.backends.openai.complaints import Complaint, complaints
from weft.backends.openai.dialect import Dialect, Phrased
from weft.backends.openai.listing import listed, of_a_website
from weft.backends.openai.reaching import reaching
from weft.backends.openai.sse import server_events
from weft.backends.openai.words import TOP, fields_of, scored
from weft.backends.retry import Retry
from weft.backends.wording import Wording
from weft.errors import (
    EngineBusy,
    EngineError,
    EngineUnavailable,
    NotAnEngine,
    UnknownName,
    Unsupported,
    UsageError,
    WeftError,
)
from weft.types import GATEWAY, Delta, Price, Request

_log = logging.getLogger(__name__)


class OpenAIEngine(Engine):
    """An OpenAI-compatible endpoint: text in, text out.

    The engine neither takes tokens nor continues open answers. weft matches stop strings
    itself, since the protocol leaves a matched string out of the text; a match closes the
    connection. The engine never repeats a request: the scheduler does.

    Args:
        model: the name of the model.
        base_url: the endpoint, with its `/v1`; OpenAI's own by default.
        api_key: the key; `OPENAI_API_KEY` by default.
        price: what tokens cost.
        name: unique in a pool; model and address by default.
        concurrency: how many calls to send at once.
        rate: how many calls a second to send at most.
        silence: after how many seconds without a byte a request is given up.
        retry: how calls are sent again for which the endpoint was too busy: a Retry, its
            fields, or its attempts alone.
        omit: parameters never to send, such as `temperature`. With `tools` among them the model
            is told of tools in words.
        rename: parameters to send under other names: `{"seed": "random_seed"}`.
        extra: fields to send with every request, in OpenAI's form.

    weft learns from an endpoint's refusals which parameters the endpoint takes; see `Dialect`.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        price: Price | None = None,
        name: str | None = None,
        *,
        concurrency: int = 64,
        rate: float | None = None,
        silence: float = SILENCE,
        retry: Retry | Mapping[str, Any] | int | None = None,
        omit: Collection[str] = (),
        rename: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        self.name = name or f"{model}@{self.url}"
        self.price = price
        self.allow(concurrency=concurrency, rate=rate, silence=silence, retry=retry)
        self._official = "api.openai.com" in self.url
        self.api_key = api_key or os.environ.get("OPENAI_API_KEY")
        self._api: openai.AsyncOpenAI | None = None
        self._gateway = False
        """Whether it is a weft gateway: others aren't told which program asks."""
        names = {k: v for host, n in _NAMES.items() if host in self.url for k, v in n.items()}
        self.wording = told = Wording(frozenset(omit), dict(rename or {}), dict(extra or {}))
        known = replace(told, rename=names | told.rename)
        self._dialect = Dialect(self.name, self.url, model, known)
        self._see_tools()

    @property
    def _connected(self) -> openai.AsyncOpenAI:
        if self._api is None:
            raise UsageError(f"engine {self.name} is not connected; await connect() first")
        return self._api

    async def connect(self) -> None:
        """Reach the endpoint; warn if it lists models, and not this one."""
        if self.api_key is None and self._official:
            raise UsageError("OpenAI's endpoint needs a key; set OPENAI_API_KEY or pass api_key")
        check_address(self.url)
        if not self.model:
            raise UsageError(f"{self.url}: no model is named; write openai:MODEL@{self.url}")
        if self._api is None:
            self._api = openai.AsyncOpenAI(
                api_key=self.api_key or "none",
                base_url=self.url,
                max_retries=0,
                timeout=openai.Timeout(self.silence, connect=CONNECT),
                http_client=openai.DefaultAsyncHttpxClient(verify=certificates()),
            )
        try:
            await self._look()
        except BaseException:
            await self.aclose()
            raise

    async def _look(self) -> None:
        names: list[str] = []
        with reaching(self.url):
            try:
                answer: Any = await self._connected.models.with_raw_response.list()
                self._gateway = GATEWAY in answer.headers
                names = listed(answer.http_response.json())
            except openai.APIStatusError as error:
                if error.status_code not in (403, 404, 405, 500, 501):
                    raise
                if of_a_website(error.response) and not await self._chats():
                    raise self._not_an_engine() from error
                _log.warning(
                    "%s lists no models (%d); whether it serves %r will be seen",
                    self.url,
                    error.status_code,
                    self.model,
                )
            except ValueError:
                raise self._not_an_engine() from None
        if names and self.model not in names:
            # Some endpoints serve more than they list.
            near = UnknownName("model", self.model, names)
            _log.warning("%s does not list %r, which is asked for: %s", self.url, self.model, near)

    async def _chats(self) -> bool:
        """Whether something other than a website's page answers where requests go."""
        create: Any = self._connected.chat.completions.with_raw_response.create
        try:
            answer = await create(model=self.model, messages=[])  # which generates nothing
        except openai.APIStatusError as error:
            return not of_a_website(error.response)
        return not of_a_website(answer.http_response)

    def _not_an_engine(self) -> NotAnEngine:
        return NotAnEngine(
            f"{self.url} does not speak OpenAI's protocol; give the endpoint with its path, "
            "such as http://host:port/v1"
        )

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        """Generate, streaming; or, for a request with `ask_texts`, score in one answer."""
        self._check(request)
        with reaching(self.url):
            if request.ask_texts:
                try:
                    delta = await self._score(request)
                except WeftError:
                    raise
                except GARBLED as error:
                    raise garbled(self.url, error) from error
                on_delta(delta)
            else:
                await self._generate(request, on_delta)

    def _check(self, request: Request) -> None:
        if request.open:
            raise Unsupported(
                f"{self.name} can't continue an open answer; close the answer, or use an engine "
                "that takes tokens, such as vLLM"
            )
        if request.ask or not request.messages:
            raise Unsupported(f"{self.name} takes no token ids; use `ask_texts` and `messages`")

    def _see_tools(self) -> None:
        facts = self._dialect.facts
        self.calls_tools = facts.tools != "none" and "tools" not in facts.omit

    async def _generate(self, request: Request, on_delta: OnDelta) -> None:
        how = request.sampling
        fields = fields_of(request)
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
        own, answered, lessons = set(how.extra or {}), False, 0

        def learn(error: Any) -> bool:
            return lessons <= LESSONS and self._teach(complaints(error), body, own)

        while not answered:
            # The package's own parsing leaves generators behind unfinished, which trio minds.
            async with self._ask(request, fields) as (response, body):
                if rest := used_up(response.headers.raw):
                    on_delta(Delta(rest=rest))
                logprobs, limit = how.logprobs is not None, how.max_tokens
                wanted = Wanted(how.stop, logprobs, limit, body.limited, body.missing)
                stream = server_events(response.http_response.stream)
                lessons += 1
                answered = await relay(stream, wanted, on_delta, self.url, learn)

    @asynccontextmanager
    async def _ask(
        self, request: Request, fields: Mapping[str, Any]
    ) -> AsyncGenerator[tuple[Any, Phrased]]:
        """The response to a request, sent again for as long as its refusals teach something."""
        own, before = set(request.sampling.extra or {}), self._dialect.facts
        heard: list[str] = []
        async with AsyncExitStack() as stack:
            while True:
                self._see_tools()
                if request.sampling.tools and not self.calls_tools:
                    raise Unsupported(
                        f"{self.name} takes no tools; the model is told of them in words"
                    )
                body = self._dialect.body(fields, request.sampling.schema)
                try:
                    headers = {"X-Request-Id": request.id}
                    if self._gateway:
                        headers |= request.sender.headers
                    sent = self._send(body.fields, headers)
                    response = await stack.enter_async_context(sent)
                    break
                except openai.APIStatusError as error:
                    heard.append(error.message)
                    if len(heard) <= LESSONS and self._learn(error, body, own):
                        continue
                    if error.message in heard[:-1]:  # what was learned of it did not help
                        self._dialect.forget(body.facts, before)
                    raise
            yield response, body

    def _send(self, fields: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        create: Any = self._connected.chat.completions.with_streaming_response.create
        rest = dict(fields)
        given = {name: rest.pop(name) for name in ("model", "messages", "stream") if name in rest}
        return create(**given, extra_body=rest, extra_headers=headers)

    def _learn(self, error: openai.APIStatusError, body: Phrased, own: set[str]) -> bool:
        """Whether a refusal taught something, so that the request may be sent again."""
        if error.status_code not in TEACHING + _PERHAPS or _too_long(error):
            return False
        found = complaints(error.body if error.body is not None else error.message)
        if error.status_code in _PERHAPS:
            found = [one for one in found if _CANNOT.search(one.message)]
        return self._teach(found, body, own)

    def _teach(self, found: list[Complaint], body: Phrased, own: set[str]) -> bool:
        return any([self._dialect.learn(one, body, own) for one in found])

    async def _score(self, request: Request) -> Delta:
        fields = fields_of(request) | {"logprobs": True, "top_logprobs": TOP}
        fields |= {"max_tokens": 1, "temperature": 0.0}
        async with self._ask(request, fields) as (response, body):
            answer: dict[str, Any] = await response.json()
        if (delta := scored(answer, request, body.missing)) is None:
            raise Unsupported(
                f"{self.name} reports no log-probabilities, which scoring needs; use vLLM, or "
                "a model that reports them"
            )
        return delta

    async def healthy(self) -> bool:
        """Whether the endpoint answers now, be it with a refusal."""
        try:
            with reaching(self.url):
                await self._connected.models.list(timeout=5.0)
        except EngineUnavailable:
            return False
        except EngineBusy as error:
            return error.status != 503
        except EngineError:
            pass
        return True

    async def aclose(self) -> None:
        """Close all connections."""
        if self._api is not None:
            api, self._api = self._api, None
            with anyio.CancelScope(shield=True):
                await api.close()


_NAMES: Mapping[str, Mapping[str, str]] = {
    "api.openai.com": {"max_tokens": "max_completion_tokens"},
    "api.mistral.ai": {"seed": "random_seed"},
}
"""What endpoints whose words are known call parameters."""

TEACHING = (400, 404, 422, 501)
"""Statuses with which endpoints refuse parameters."""

_PERHAPS = (403, 500)
"""Statuses that mean something else more often; words tell."""

_CANNOT = re.compile(r"unsupported|n[o']t\b.{0,12}\b(?:support|allow|permit)", re.IGNORECASE)

LESSONS = 24
"""Most times that one request is sent again for what its refusals teach."""


def _too_long(error: openai.APIStatusError) -> bool:
    return error.code == "context_length_exceeded" or "context length" in error.message
