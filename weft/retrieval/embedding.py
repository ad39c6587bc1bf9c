"""EmbeddingEndpoint: embeddings by an OpenAI-compatible server, such as vLLM's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from weft.backends.forbidden import check_allowed
from weft.backends.http import check_address, client, reaching
from weft.backends.refusals import refusal
from weft.errors import RequestFailed


class EmbeddingEndpoint:
    """Asks the `/embeddings` of a server: a function of texts, for `Vectors`.

    What embeddings cost is not counted: budgets and usage are of calls that generate or score.

    Args:
        model: makes the embeddings.
        base_url: the endpoint, with its `/v1`.
        api_key: if the endpoint asks for one.
        silence: seconds without a byte after which a request is given up.

    Attributes:
        name: for messages: the endpoint.
        real: that it may cost something; `forbid_engines` forbids it.

    Raises:
        UsageError: `base_url` is no address.
    """

    real = True

    def __init__(
        self, model: str, base_url: str, *, api_key: str | None = None, silence: float = 60.0
    ) -> None:
        check_address(base_url)
        self.model, self.name = model, base_url.rstrip("/")
        self._silence = silence
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """An embedding for each text.

        Raises:
            EngineError: the endpoint can't be reached, refuses, or answers something else.
            UsageError: real engines are forbidden here.
        """
        check_allowed([self])
        asked = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        async with client(self.name, headers=self._headers, silence=self._silence) as http:
            with reaching(self.name):
                said = await http.post(f"{self.name}/embeddings", json=asked)
        if said.status_code != 200:
            raise refusal(self.name, said.status_code, said.content, dict(said.headers))
        try:
            rows = cast(list[dict[str, Any]], said.json()["data"])
            rows = sorted(rows, key=lambda row: row.get("index", 0))
            made: list[list[float]] = [row["embedding"] for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError):
            made = []
        if len(made) != len(texts):
            raise RequestFailed(f"{self.name} gave no embedding for each of {len(texts)} texts")
        return made
