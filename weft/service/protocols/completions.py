"""`/v1/completions`."""

from __future__ import annotations

from typing import Any, cast

from weft.service.protocols.media import media_bytes
from weft.service.protocols.openai import OpenAIProtocol
from weft.service.protocols.protocol import Body
from weft.service.protocols.reading import (
    content_bytes,
    count_problem,
    model_problem,
    stream_problem,
    token_bytes,
)


class Completions(OpenAIProtocol):
    """OpenAI's completions of raw prompts, given as text or token ids, one or several."""

    path = "/v1/completions"

    def check(self, body: Body) -> str:
        """See Protocol."""
        return (
            model_problem(body)
            or prompt_problem(body)
            or stream_problem(body)
            # 0 together with `echo` scores the prompt.
            or count_problem(body, "max_tokens", least=0)
        )

    def pieces(self, body: Body) -> list[bytes]:
        """The prompts. A longer prompt is another piece: raw text has no messages to part it."""
        prompt: Any = body.get("prompt")
        if prompt is None:
            return [media_bytes(body["prompt_embeds"])]
        if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
            return [_prompt_bytes(one) for one in cast(list[Any], prompt)]
        return [_prompt_bytes(prompt)]


def prompt_problem(body: Body) -> str:
    """What is wrong with `prompt`; vLLM takes `prompt_embeds` in its place."""
    prompt = body.get("prompt")
    if prompt is None and body.get("prompt_embeds") is not None:
        return ""
    if isinstance(prompt, str) or (
        isinstance(prompt, list)
        and prompt
        and isinstance(cast(list[Any], prompt)[0], (str, int, list))
    ):
        return ""
    return "prompt must be text, a list of token ids, or a non-empty list of either"


def _prompt_bytes(prompt: Any) -> bytes:
    if isinstance(prompt, list):
        return token_bytes(cast(list[Any], prompt))
    return content_bytes(prompt)
