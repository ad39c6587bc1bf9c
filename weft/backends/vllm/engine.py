"""An engine that is a vLLM server, spoken to in token ids over HTTP."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from weft.backends.engine import Engine, EngineLoad, OnDelta
from weft.backends.http import wire
from weft.backends.http.client import SILENCE, check_address, client, reaching, streaming
from weft.backends.http.folded_turns import folded
from weft.backends.http.refusals import GARBLED, garbled, refusal, too_long, used_up
from weft.backends.retry import Retry
from weft.backends.vllm.answer_text import AnswerText, Decoder
from weft.backends.vllm.deltas import relay, scored
from weft.backends.vllm.introduction import check_tokenizer, listed_models, unlisted
from weft.backends.vllm.metrics import (
    GIVEN_UP,
    LEASED,
    LEASES,
    NEED,
    PRIORITY,
    ProcessWatch,
    gauge,
    has,
    labelled,
)
from weft.errors import EngineError, RequestRejected, UsageError
from weft.parsers.thinking import names_channel, opens_thinking
from weft.types import Delta, Message, Price, Request

if TYPE_CHECKING:
    from weft.cache.kv_events import ReportedIndex

_log = logging.getLogger(__name__)
_TAIL = 16  # tokens at a prompt's end that hold what opens an answer

PATIENCE = 5.0
"""Seconds that a health check may take."""


class VLLMEngine(Engine):
    """A vLLM server: prompts go in as token ids, and answers come with token ids.

    Settings of sampling that are not given, such as top_k, are left to the server's defaults,
    which come from the model's generation_config.json.

    Args:
        url: the server's address, `http://host:port`.
        model: the name of the model; None takes the first model that the server lists. A model
            that the server does not list is asked for all the same, with a warning.
        api_key: sent as a bearer token; `VLLM_API_KEY` of the environment by default.
        price: what tokens cost.
        name: unique in a pool; the address by default.
        priority: whether the server was started with `--scheduling-policy priority`: it is told
            then which program began first. None asks the server, which tells only with weft's
            connector.
        leases: whether it is told what to keep, if it runs with weft's connector.
        concurrency: how many calls to send at once: the server's `--max-num-seqs`, which the
            server does not tell. vLLM's own default is 256 on a GPU, or 1024 on a large GPU.
        rate: how many calls a second to send at most.
        silence: after how many seconds without a byte a request is given up.
        retry: how calls are sent again for which the server was too busy: a Retry, its fields,
            or its attempts alone.
    """

    takes_tokens = True
    continues = True

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key: str | None = None,
        price: Price | None = None,
        name: str | None = None,
        *,
        priority: bool | None = None,
        leases: bool = True,
        concurrency: int = 256,
        rate: float | None = None,
        silence: float = SILENCE,
        retry: Retry | Mapping[str, Any] | int | None = None,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.name = name or self.url
        self.price = price
        self.priority, self._priority, self._leasing = bool(priority), priority, leases
        self.allow(concurrency=concurrency, rate=rate, silence=silence, retry=retry)
        self._wanted_model = model
        self.api_key = api_key or os.environ.get("VLLM_API_KEY") or None
        self._client: httpx.AsyncClient | None = None
        self._watch = ProcessWatch()
        self._decoder = Decoder(self._detokenize, self.tokenize)
        self._detokenizes = True
        self._folds = False  # turns into the user's, which the template refuses
        self._channels = False  # special tokens tell thinking from answer

    @property
    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            raise UsageError(f"engine {self.name} is not connected; await connect() first")
        return self._client

    async def connect(self) -> None:
        """Reach the server and learn its model, context and KV cache."""
        check_address(self.url)
        if self._client is None:
            key = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
            self._client = client(self.url, headers=key, silence=self.silence)
        try:
            await self._learn()
        except BaseException:
            await self.aclose()
            raise

    async def _learn(self) -> None:
        served = await self._models()
        card = served[0]
        if self._wanted_model is not None:
            named = [one for one in served if one.get("id") == self._wanted_model]
            if not named:
                # Some servers serve more than they list; what has no model of this name refuses.
                _log.warning("%s", unlisted(self.url, served, self._wanted_model))
            card = named[0] if named else card
        self.model, self.cards = self._wanted_model or str(card["id"]), served
        self.context = card.get("max_model_len")
        labels = labelled(await self._metrics(), "vllm:cache_config_info")
        if labels.get("block_size", "").isdigit():
            self.block_size = int(labels["block_size"])
            if labels.get("num_gpu_blocks", "").isdigit():
                # One block is vLLM's null block.
                self.kv_tokens = (int(labels["num_gpu_blocks"]) - 1) * self.block_size
        if self._leasing and not self.leases:
            _log.info(
                "%s has no leases: what weft means to keep there may be evicted by age; start vLLM "
                "with weft's connector (docs/leases.md)",
                self.name,
            )
        answer = await self._post("/tokenize", {"prompt": "a", "add_special_tokens": False})
        check_tokenizer(self.url, self.model, served, answer)
        await self._look_at_template()

    async def _look_at_template(self) -> None:
        """See where the chat template leaves the model: within its thinking, or before."""
        try:
            ids = await self.render((Message("user", "a"),), open=False)
            end = await self._detokenize(ids[-_TAIL:]) or ""
        except EngineError:
            return  # a model without a chat template, for instance
        self.opens_thinking, self._channels = opens_thinking(end), names_channel(end)

    async def list_names(self) -> None:
        """See Engine."""
        self.cards = await self._models()

    async def _models(self) -> list[dict[str, Any]]:
        return listed_models(self.url, await self._get("/v1/models"))

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        """Generate, streaming; or, for a request with `ask`, score in one answer."""
        if request.tokens is not None:
            tokens = tuple(request.tokens)
        else:
            tokens = await self.render(request.messages, open=request.open)
        if self.context is not None and len(tokens) >= self.context:
            raise too_long(len(tokens), self.context)
        said = request.messages[-1].content if request.open and request.messages else None
        answer = AnswerText(self._decoder, tokens, request.sampling.stop)
        with reaching(self.url):
            await answer.begin(said)
        stops = not answer.stops_here
        body = wire.completion_body(
            request, tokens, self.context, stops=stops, priority=self.priority
        )
        if self._channels:
            body["skip_special_tokens"] = False
        sent = self._http.build_request(
            "POST",
            "/v1/completions",
            content=json.dumps(body, separators=(",", ":")).encode(),
            headers={
                "content-type": "application/json",
                "x-request-id": request.id,
                **request.sender.headers,
            },
        )
        with reaching(self.url):
            async with streaming(self._http, sent) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise self._refusal(response, len(tokens))
                if rest := used_up(response.headers.raw):
                    on_delta(Delta(rest=rest))
                if request.ask:
                    scores = await response.aread()
                    try:
                        delta = scored(json.loads(scores), request.ask)
                    except GARBLED as error:
                        raise garbled(self.url, error) from error
                    on_delta(delta)
                else:
                    await relay(self.url, response, request.sampling.logprobs, answer, on_delta)

    async def render(
        self,
        messages: tuple[Message, ...],
        *,
        open: bool,
        template: Mapping[str, Any] | None = None,
    ) -> tuple[int, ...]:
        """The token ids of a conversation, by the server's own chat template.

        Where the template takes no system or tool turns, or not these, they are part of the
        user's.
        """
        turns = messages
        if open and not messages[-1].content:
            # Nothing to continue yet: the answer begins where the generation prompt ends.
            turns, open = messages[:-1], False
        said = wire.chat_messages(turns)
        settings = dict(template or {})
        tools = settings.pop(wire.TOOLS, None)
        how = {
            "add_generation_prompt": not open,
            "continue_final_message": open,
            **({wire.TEMPLATE: settings} if settings else {}),
            **({wire.TOOLS: tools} if tools else {}),
        }
        try:
            return await self._tokenize({"messages": said, **how})
        except RequestRejected as refused:
            last = said
            for roles in (("system",), ("system", "tool")):
                if (joined := folded(said, *roles)) == last:
                    continue
                try:
                    ids = await self._tokenize({"messages": joined, **how})
                except RequestRejected:
                    last = joined
                    continue
                if not self._folds:
                    _log.warning(
                        "%s: %s; weft sends such turns as part of the user's", self.name, refused
                    )
                self._folds = True
                return ids
            raise

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """The token ids of a text alone."""
        if not text:
            return ()
        return await self._tokenize({"prompt": text, "add_special_tokens": False})

    async def _tokenize(self, body: dict[str, Any]) -> tuple[int, ...]:
        response = await self._post("/tokenize", body)
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return tuple(response.json()["tokens"])
        except GARBLED as error:
            raise garbled(self.url, error) from error

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        request = self._http.build_request("POST", path, json={"model": self.model, **body})
        with reaching(self.url):
            async with streaming(self._http, request) as response:
                await response.aread()
                return response

    def _refusal(self, response: httpx.Response, prompt: int | None = None) -> EngineError:
        """The error that an answer amounts to which has been read."""
        status, body, headers = response.status_code, response.content, response.headers
        return refusal(self.url, status, body, headers, prompt=prompt, context=self.context)

    async def _detokenize(self, ids: Sequence[int]) -> str | None:
        """What ids say; None if the server can't tell, for it has no `/detokenize`."""
        if not self._detokenizes:
            return None
        response = await self._post("/detokenize", {"tokens": list(ids)})
        if response.status_code in (404, 405):
            self._detokenizes = False
        if response.status_code != 200:
            return None
        try:
            return str(response.json()["prompt"])
        except GARBLED as error:
            raise garbled(self.url, error) from error

    async def follow_cache(self, index: ReportedIndex) -> None:
        """Follow the server's KV events, if it was started with them."""
        from weft.backends.vllm.kv_events import find_sources, follow

        sources = await find_sources(self.url)
        if len(sources) == 1:  # of several ranks one can't know which gets a call
            await follow(sources[0], index)

    async def load(self) -> EngineLoad:
        """Running and waiting requests, KV usage and preemptions, from the server's metrics."""
        text = await self._metrics()
        return EngineLoad(
            int(gauge(text, "vllm:num_requests_running")),
            int(gauge(text, "vllm:num_requests_waiting")),
            gauge(text, "vllm:kv_cache_usage_perc"),
            int(gauge(text, "vllm:num_preemptions_total")),
        )

    async def _metrics(self) -> str:
        response = await self._get("/metrics")
        text = response.text if response.status_code == 200 else ""
        self._watch.note(text)
        if text:
            self.leases = self._leasing and has(text, LEASES)
            if self._priority is None:
                self.priority = gauge(text, PRIORITY) > 0
            self.leased = int(gauge(text, LEASED))
            self.needed = int(gauge(text, GIVEN_UP, NEED))
        self.process = self._watch.number
        return text

    async def _get(self, path: str) -> httpx.Response:
        with reaching(self.url):
            async with streaming(self._http, self._http.build_request("GET", path)) as response:
                await response.aread()
                return response

    async def healthy(self) -> bool:
        """Whether the server answers now, within seconds; not before `connect`."""
        if self._client is None:
            return False
        try:
            with anyio.fail_after(PATIENCE):
                if (await self._get("/health")).status_code != 200:
                    return False
                await self._metrics()
                return True
        except (EngineError, TimeoutError):
            return False

    async def aclose(self) -> None:
        """Close all connections; what still runs on them is aborted."""
        if self._client is not None:
            http, self._client = self._client, None
            with anyio.CancelScope(shield=True):
                await http.aclose()
