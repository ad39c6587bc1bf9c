"""What a server says of itself when it is first reached: its models, and whether it is vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import httpx

from weft.backends.http.refusals import GARBLED, refusal
from weft.errors import NotAnEngine, WrongModel


def listed_models(url: str, response: httpx.Response) -> list[dict[str, Any]]:
    """The models that a server lists, each with the length of its context.

    Args:
        url: of the server.
        response: to `/v1/models`.

    Raises:
        NotAnEngine: it is no vLLM server.
        EngineError: it refuses to say.
    """
    status = response.status_code
    if status in (401, 403, 429) or status >= 500:
        raise refusal(url, status, response.content, response.headers)
    try:
        served: Any = response.json()["data"]
        if status != 200 or not served[0]["id"]:
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError) as error:
        kind = response.headers.get("content-type", "something else").partition(";")[0]
        raise NotAnEngine(
            f"{url} is no inference server: it answers /v1/models with {kind} "
            f"(status {status}); give the address of a vLLM server"
        ) from error
    if "max_model_len" not in served[0]:
        raise NotAnEngine(
            f"{url} is no vLLM server, though it speaks OpenAI's protocol; use "
            f"OpenAIEngine, or write openai:{served[0]['id']}@{url}/v1"
        )
    return cast(list[dict[str, Any]], served)


def check_tokenizer(
    url: str, model: str, served: Sequence[dict[str, Any]], response: httpx.Response
) -> None:
    """See that `/tokenize` is vLLM's: a server that only speaks alike would fail later.

    Args:
        url: of the server.
        model: that is wanted of it.
        served: what it lists.
        response: to `/tokenize`.

    Raises:
        NotAnEngine: it gives no token ids.
        WrongModel: the model is not listed, and not served either.
        EngineError: it refuses to say.
    """
    status = response.status_code
    if status in (401, 403, 429) or (status >= 500 and status != 501):
        raise refusal(url, status, response.content, response.headers)
    if status == 404 and b"does not exist" in response.content:
        raise WrongModel(unlisted(url, served, model))
    try:
        ids: Any = response.json()["tokens"]
        if status == 200 and ids and all(type(id) is int for id in ids):
            return
    except GARBLED:
        pass
    raise NotAnEngine(
        f"{url} gives no token ids at /tokenize (status {status}), so it is no vLLM "
        f"server; use OpenAIEngine, or write openai:{model}@{url}/v1"
    )


def unlisted(url: str, served: Sequence[dict[str, Any]], model: str) -> str:
    """That a server does not list the model that is wanted of it."""
    names = ", ".join(repr(one.get("id")) for one in served)
    return f"{url} serves {names}, not {model!r}; ask for that, or for the engine that serves yours"
