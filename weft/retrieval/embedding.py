"""EmbeddingEndpoint: embeddings by an OpenAI-compatible server, such as vLLM's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from weft.backends.forbidden import check_allowed
from weft.backends.http.client import check_address, client, reaching
from weft.backends.http.refusals import refusal
from weft.errors import RequestFailed
from weft.programs.spending import spend
from weft.types import Price


class EmbeddingEndpoint:
    """Asks the `/embeddings` of a server: a function of texts, for `Vectors`.

    Within a run each request is a node of the graph, and its tokens count in the run's usage and
    in budgets, as those of one call.

    Args:
        model: makes the embeddings.
        base_url: the endpoint, with its `/v1`.
        api_key: if the endpoint asks for one.
        price: of its tokens; budgets in dollars need it.
        silence: seconds without a byte after which a request is given up.

    Attributes:
        name: for messages: the endpoint.
        real: that it may cost something; `forbid_engines` forbids it.

    Raises:
        UsageError: `base_url` is no address.
    """

    real = True

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        api_key: str | None = None,
        price: Price | None = None,
        silence: float = 60.0,
    ) -> None:
        check_address(base_url)
        self.model, self.name = model, base_url.rstrip("/")
        self.price, self._silence = price, silence
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """An embedding for each text.

        Raises:
            EngineError: the endpoint can't be reached, refuses, or answers something else.
            BudgetExceeded: the budgets around have too little left.
            UsageError: real engines are forbidden here; or dollars are limited, and there is no
                price.
        """
        check_allowed([self])
        asking = partial(self._asked, texts)
        return await spend("embed", self.model, texts, asking, price=self.price, engine=self.name)

    async def _asked(self, texts: Sequence[str]) -> tuple[list[list[float]], int | None]:
        """The embeddings, and the tokens of the texts."""
        asked = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        async with client(self.name, headers=self._headers, silence=self._silence) as http:
            with reaching(self.name):
                said = await http.post(f"{self.name}/embeddings", json=asked)
        if said.status_code != 200:
            raise refusal(self.name, said.status_code, said.content, dict(said.headers))
        try:
            body: dict[str, Any] = said.json()
            rows = cast(list[dict[str, Any]], body["data"])
            rows = sorted(rows, key=lambda row: row.get("index", 0))
            made: list[list[float]] = [row["embedding"] for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError):
            body, made = {}, []
        if len(made) != len(texts):
            raise RequestFailed(f"{self.name} gave no embedding for each of {len(texts)} texts")
        used: Any = body.get("usage")
        tokens: Any = cast(Any, used).get("prompt_tokens") if isinstance(used, dict) else None
        return made, tokens if isinstance(tokens, int) else None
