"""`/v1/embeddings`."""

from __future__ import annotations

from weft.service.protocols.protocol import Body
from weft.service.protocols.reading import model_problem
from weft.service.protocols.unscheduled.unscheduled import Unscheduled


class Embeddings(Unscheduled):
    """OpenAI's embeddings; vLLM takes messages in place of `input`."""

    path = "/v1/embeddings"

    def check(self, body: Body) -> str:
        """See Protocol."""
        if problem := model_problem(body):
            return problem
        given = body.get("input", body.get("messages"))
        if isinstance(given, (str, list)) and given:
            return ""
        return "input must be text, a list of token ids, or a non-empty list of either"
