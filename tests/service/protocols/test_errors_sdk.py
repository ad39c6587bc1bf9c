"""The official clients raise what they should for our errors, over a loopback connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import anthropic
import openai
import pytest

from weft.service.protocols import PROTOCOLS
from weft.service.protocols.errors.error_words import ErrorWords

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@contextmanager
def answering(status: int, body: bytes, kind: str = "application/json") -> Iterator[str]:
    """A server that gives one answer to everything; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def ask_openai(url: str, path: str, **more: Any) -> Any:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        if path == CHAT:
            answer: Any = client.chat.completions.create(**ASK, **more)
        else:
            answer = client.responses.create(model="m", input="hi", **more)
        return list(answer) if more else answer


def ask_anthropic(url: str, **more: Any) -> Any:
    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client:
        answer: Any = client.messages.create(**ASK, max_tokens=5, **more)
        return list(answer) if more else answer


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (400, openai.BadRequestError, "invalid_request_error", None),
        (401, openai.AuthenticationError, "authentication_error", "invalid_api_key"),
        (403, openai.PermissionDeniedError, "permission_error", None),
        (404, openai.NotFoundError, "not_found_error", "model_not_found"),
        (413, openai.APIStatusError, "invalid_request_error", None),
        (429, openai.RateLimitError, "rate_limit_error", "rate_limit_exceeded"),
        (503, openai.InternalServerError, "server_error", None),
    ],
)
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_openai_errors(
    path: str, status: int, error: type[openai.APIStatusError], kind: str, code: str | None
) -> None:
    body = PROTOCOLS[path].error(ErrorWords(status, "why"))
    with answering(status, body) as url, pytest.raises(error, match="why") as caught:
        ask_openai(url, path)
    assert (caught.value.type, caught.value.code, caught.value.param) == (kind, code, None)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_anthropic_errors(status: int, error: type[anthropic.APIStatusError], kind: str) -> None:
    body = PROTOCOLS[MESSAGES].error(ErrorWords(status, "why"))
    with answering(status, body) as url, pytest.raises(error, match="why") as caught:
        ask_anthropic(url)
    assert caught.value.body == {"type": "error", "error": {"type": kind, "message": "why"}}


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        # What Codex, which looks at nothing else, takes for final ...
        (400, None, "invalid_prompt"),
        (400, 400, "invalid_prompt"),
        (400, "unsupported_value", "invalid_prompt"),
        (404, "model_not_found", "invalid_prompt"),
        (409, None, "invalid_prompt"),
        (400, "context_length_exceeded", "context_length_exceeded"),
        (403, "insufficient_quota", "insufficient_quota"),
        # ... and after which it asks again.
        (429, None, "rate_limit_exceeded"),
        (503, None, "rate_limit_exceeded"),
        (500, None, "server_error"),
        (502, 502, "server_error"),
        (500, "engine_failed", "engine_failed"),
    ],
)
def test_the_code_of_a_response_that_failed(status: int, code: str | int | None, said: str) -> None:
    events = PROTOCOLS[RESPONSES].error_event(ErrorWords(status, "why", code=code)).split(b"\n\n")
    error, failed = (json.loads(event.partition(b"data: ")[2]) for event in events[:2])
    assert failed["response"]["error"] == {"code": said, "message": "why"}
    if code is not None:  # OpenAI's own library sees the code itself
        assert error["code"] == code


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_openai_errors_in_streams(path: str) -> None:
    with (
        answering(
            200, PROTOCOLS[path].error_event(ErrorWords(500, "broke off")), "text/event-stream"
        ) as url,
        pytest.raises(openai.APIError, match="broke off"),
    ):
        ask_openai(url, path, stream=True)


def test_anthropic_errors_in_streams() -> None:
    with (
        answering(
            200, PROTOCOLS[MESSAGES].error_event(ErrorWords(500, "broke off")), "text/event-stream"
        ) as url,
        pytest.raises(anthropic.APIStatusError, match="broke off"),
    ):
        ask_anthropic(url, stream=True)
