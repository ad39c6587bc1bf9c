"""An OpenAI-compatible endpoint whose answers come by batches: for less money, within a day."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from weft.backends.engine import OnDelta
from weft.backends.http.refusals import GARBLED, garbled, refusal
from weft.backends.openai.batches import MOST, Batches
from weft.backends.openai.chat import Wanted, relay
from weft.backends.openai.complaints import complaints
from weft.backends.openai.engine import LESSONS, TEACHING, OpenAIEngine
from weft.backends.openai.sse import DONE
from weft.backends.openai.words import fields_of
from weft.errors import WeftError
from weft.types import Request


class BatchEngine(OpenAIEngine):
    """An endpoint that is sent what waits as a batch, by OpenAI's `/v1/batches`.

    Calls that wait at the same time go together. So a strategy whose calls are known at once needs
    one batch, and one that goes on from answers needs as many as it has rounds. Scores are asked
    for one by one.

    Args:
        model: the name of the model.
        base_url: the endpoint, with its `/v1`; OpenAI's own by default.
        api_key: the key; `OPENAI_API_KEY` by default.
        batch: the file that remembers what was sent, so that nothing is paid twice when a process
            is killed and started again.
        **options: those of `OpenAIEngine`.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        batch: str | Path,
        **options: Any,
    ) -> None:
        given: dict[str, Any] = {"concurrency": MOST, **options}
        super().__init__(model, base_url, api_key, **given)
        self._file = Path(batch)
        self._flying: set[str] = set()

    @cached_property
    def _batches(self) -> Batches:
        return Batches(lambda: self._connected, self.url, self._file)

    async def connect(self) -> None:
        """Reach the endpoint, and see which requests are on their way."""
        await super().connect()
        _ = self._batches

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        """Wait for the batch with the answer; requests with `ask_texts` are sent by themselves."""
        self._check(request)
        if request.ask_texts:
            await super().complete(request, on_delta)
            return
        how, fields, lessons = request.sampling, fields_of(request), 0
        key = self._key(fields | {"schema": how.schema})
        try:
            while True:
                body = self._dialect.body(fields, how.schema)
                line = await self._batches.answer(f"{key}-{lessons}", body.fields)
                taught = lessons < LESSONS and line.status in TEACHING
                if not taught or not self._teach(complaints(line.body), body, set(how.extra or {})):
                    break
                lessons += 1
        finally:
            self._flying.discard(key)
        if line.status != 200:
            raise refusal(self.url, line.status, json.dumps(line.body).encode(), {})
        limit, logprobs = how.max_tokens, how.logprobs is not None
        wanted = Wanted(how.stop, logprobs, limit, body.limited, body.missing)
        try:
            await relay(_events(line.body), wanted, on_delta, self.url, lambda error: False)
        except WeftError:
            raise
        except GARBLED as error:
            raise garbled(self.url, error) from error

    def _key(self, fields: Mapping[str, Any]) -> str:
        """A name for a request: the same in every process, and no other's under way."""
        said = json.dumps([self.url, fields], sort_keys=True).encode()
        digest, number = blake2b(said, digest_size=16).hexdigest(), 0
        while (key := f"{digest}-{number}") in self._flying:
            number += 1
        self._flying.add(key)
        return key


async def _events(body: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any]]:
    """A whole answer, as a server sends it that does not stream."""
    yield body
    yield DONE
