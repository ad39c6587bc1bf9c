"""Errors of the `openai` package and of its HTTP client, told as weft's."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import openai

from weft.backends.http.client import silent, unreachable
from weft.backends.http.refusals import refusal
from weft.backends.openai.reading import one_line
from weft.errors import EngineUnavailable, RequestFailed

_TRANSPORTS = ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp")


@contextmanager
def reaching(url: str) -> Generator[None]:
    """Within the block an endpoint is asked by the package; its errors come as weft's.

    Raises:
        EngineError: the endpoint refused, failed, stayed silent or can't be reached.
    """
    try:
        yield
    except openai.APITimeoutError as error:
        raise silent(url) from error
    except openai.APIConnectionError as error:
        raise unreachable(url, error) from error
    except openai.APIStatusError as error:
        body, headers = error.response.content, error.response.headers
        raise refusal(url, error.status_code, body, headers) from error
    except openai.APIError as error:
        said = one_line(error.message)
        raise RequestFailed(f"{url} failed in an answer: {said}", said=said) from error
    except Exception as error:
        # Reading a stream lets the errors of the package's HTTP client through.
        if type(error).__module__.partition(".")[0] not in _TRANSPORTS:
            raise
        if "Timeout" in type(error).__name__:
            raise silent(url) from error
        raise EngineUnavailable(f"{url} broke the connection; try again") from error
