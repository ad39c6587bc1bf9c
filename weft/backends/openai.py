"""An engine that is any endpoint speaking OpenAI's chat completions."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
import openai

from weft.backends.chat import finish_of, one_line, relay
from weft.backends.engine import Engine, OnDelta
from weft.backends.http import events
from weft.backends.wire import used
from weft.errors import (
    ContextExceeded,
    EngineUnavailable,
    NotAnEngine,
    RequestRejected,
    UnknownName,
    Unsupported,
    UsageError,
    WrongModel,
)
from weft.types import Delta, Price, Request

TOP = 20
"""Most alternatives that the protocol reports at a token."""


class OpenAIEngine(Engine):
    """An OpenAI-compatible endpoint: text in, text out.

    It neither takes tokens nor continues open answers. Stop strings are matched here, since
    the protocol leaves a matched one out of the text: the connection is closed at a match.
    Requests are never repeated here; weft's scheduler does that.

    Args:
        model: the name of the model.
        base_url: the endpoint, with its `/v1`; OpenAI's own by default.
        api_key: the key; `OPENAI_API_KEY` by default.
        price: what its tokens cost.
        name: unique in a pool; model and address by default.
        concurrency: how many calls to send at once.
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
    ) -> None:
        self.model = model
        self.url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        self.name = name or f"{model}@{self.url}"
        self.price = price
        self.concurrency = concurrency
        self._official = "api.openai.com" in self.url
        self.api_key = api_key or os.environ.get("OPENAI_API_KEY")
        self._api: openai.AsyncOpenAI | None = None

    @property
    def _connected(self) -> openai.AsyncOpenAI:
        if self._api is None:
            raise UsageError(f"engine {self.name} is not connected; await connect() first")
        return self._api

    async def connect(self) -> None:
        """Reach the endpoint and see whether it lists the model."""
        if self.api_key is None and self._official:
            raise UsageError("OpenAI's endpoint needs a key; set OPENAI_API_KEY or pass api_key")
        if self._api is None:
            self._api = openai.AsyncOpenAI(
                api_key=self.api_key or "none", base_url=self.url, max_retries=0
            )
        try:
            await self._look()
        except BaseException:
            await self.aclose()
            raise

    async def _look(self) -> None:
        names: list[str] = []
        with self._reaching():
            try:
                page: Any = await self._connected.models.list()
                names = [str(one.id) for one in page.data]
            except openai.NotFoundError as error:
                if "json" not in error.response.headers.get("content-type", ""):
                    raise self._not_an_engine() from error
                return  # an endpoint need not list its models
            except (AttributeError, TypeError, ValueError, openai.APIResponseValidationError):
                raise self._not_an_engine() from None
        if names and self.model not in names:
            near = UnknownName("model", self.model, names)
            raise WrongModel(f"{self.url} does not serve {self.model!r}: {near}")

    def _not_an_engine(self) -> NotAnEngine:
        return NotAnEngine(
            f"{self.url} does not speak OpenAI's protocol; give the endpoint with its path, "
            "such as http://host:port/v1"
        )

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        """Generate, streaming; or, for a request with `ask_texts`, score in one answer."""
        if request.open:
            raise Unsupported(
                f"{self.name} can't continue an open answer; close the answer, or use an engine "
                "that takes tokens, such as vLLM"
            )
        if request.ask or not request.messages:
            raise Unsupported(f"{self.name} takes no token ids; use `ask_texts` and `messages`")
        with self._reaching():
            if request.ask_texts:
                on_delta(await self._score(request))
            else:
                await self._generate(request, on_delta)

    def _settings(self, request: Request) -> dict[str, Any]:
        how = request.sampling
        settings: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "temperature": how.temperature,
            "top_p": how.top_p,
            "extra_headers": {"X-Request-Id": request.id},
        }
        if how.max_tokens is not None:
            settings["max_completion_tokens" if self._official else "max_tokens"] = how.max_tokens
        if how.seed is not None:
            settings["seed"] = how.seed
        if how.logprobs is not None:
            settings |= {"logprobs": True}
            if how.logprobs:
                settings["top_logprobs"] = how.logprobs
        if how.schema is not None:
            settings["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": how.schema},
            }
        return settings

    async def _generate(self, request: Request, on_delta: OnDelta) -> None:
        create: Any = self._connected.chat.completions.with_streaming_response.create
        settings = self._settings(request)
        # The package's own parsing leaves generators behind unfinished, which trio minds.
        async with create(
            **settings, stream=True, stream_options={"include_usage": True}
        ) as response:
            stream = events(response.http_response.stream)
            await relay(stream, request.sampling.stop, on_delta, self.url)

    async def _score(self, request: Request) -> Delta:
        settings = self._settings(request) | {"logprobs": True, "top_logprobs": TOP}
        settings["max_completion_tokens" if self._official else "max_tokens"] = 1
        settings["temperature"] = 0.0
        create: Any = self._connected.chat.completions.create
        answer: dict[str, Any] = (await create(**settings)).model_dump()
        choice = answer["choices"][0]
        reported: dict[str, Any] = choice.get("logprobs") or {}
        content: list[dict[str, Any]] = reported.get("content") or []
        if not content:
            raise Unsupported(
                f"{self.name} reports no log-probabilities, which scoring needs; use vLLM, or "
                "a model that reports them"
            )
        seen: dict[str, float] = {}
        for top in content[0]["top_logprobs"]:
            seen.setdefault(top["token"].strip(), top["logprob"])  # the likeliest comes first
        usage: dict[str, Any] = answer.get("usage") or {}
        prompt, cached = used(usage)
        return Delta(
            choice["message"].get("content") or "",
            count=usage.get("completion_tokens", 1),
            asked=tuple(seen.get(text.strip(), float("-inf")) for text in request.ask_texts),
            finish_reason=finish_of(choice["finish_reason"]),
            ended=choice["finish_reason"] == "stop",
            prompt_tokens=prompt,
            cached_tokens=cached,
        )

    async def healthy(self) -> bool:
        """Whether the endpoint answers now, be it with a refusal."""
        try:
            with self._reaching():
                await self._connected.models.list(timeout=5.0)
        except EngineUnavailable:
            return False
        except RequestRejected:
            pass
        return True

    async def aclose(self) -> None:
        """Close all connections."""
        if self._api is not None:
            api, self._api = self._api, None
            with anyio.CancelScope(shield=True):
                await api.close()

    @contextmanager
    def _reaching(self) -> Generator[None]:
        """Turn the package's errors into ours."""
        try:
            yield
        except openai.APIConnectionError as error:
            raise EngineUnavailable(
                f"nothing answers at {self.url}; correct the address, or see whether it is down"
            ) from error
        except openai.APIStatusError as error:
            said = f"({error.status_code}): {one_line(error.message)}"
            if error.code == "context_length_exceeded" or "context length" in error.message:
                raise ContextExceeded(
                    f"the prompt does not fit the context of {self.model} {said}; shorten it"
                ) from error
            if error.status_code >= 500 or error.status_code in (408, 409, 429):
                raise EngineUnavailable(f"{self.url} can't answer now {said}") from error
            raise RequestRejected(f"{self.url} refused the request {said}") from error
        except openai.APIError as error:
            raise EngineUnavailable(
                f"{self.url} failed in an answer: {one_line(error.message)}"
            ) from error
        except Exception as error:
            # Reading a stream lets the errors of the package's HTTP client through.
            if type(error).__module__.partition(".")[0] not in _TRANSPORTS:
                raise
            raise EngineUnavailable(f"{self.url} broke the connection; try again") from error


_TRANSPORTS = ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp")
