"""What is read of requests that are passed on: paths, and the model, in any body."""

from __future__ import annotations

import json

import pytest

from weft.service.protocols.unscheduled.passed import (
    PassedPaths,
    StoredResponse,
    asked_model,
    renamed,
)

FORM = "multipart/form-data; boundary="
JSON = "application/json"


def form(mark: str, *parts: str, end: str = "--\r\n") -> bytes:
    return "".join(f"--{mark}\r\n{part}\r\n" for part in parts).encode() + f"--{mark}{end}".encode()


def field(name: str, value: str, more: str = "") -> str:
    return f"Content-Disposition: form-data; name={name}\r\n{more}\r\n{value}"


FILE = field('"file"; filename="a.wav"', "RIFF" * 1000, "Content-Type: audio/wav\r\n")


@pytest.mark.parametrize(
    "kind", [FORM + "X1", FORM + '"X1"', "Multipart/Form-Data;Boundary=X1; a=b"]
)
def test_the_model_of_a_form_is_found_and_replaced_wherever_it_stands(kind: str) -> None:
    model = field('"model"', "whisper", "Content-Type: text/plain\r\n")
    for parts in ((model, FILE), (FILE, model), (FILE, field("model", "whisper"))):
        raw = b"preamble\r\n" + form("X1", *parts)
        assert asked_model(kind, raw) == "whisper"
        assert renamed(kind, raw, "other") == raw.replace(b"whisper", b"other")


def test_what_is_no_field_of_a_form_names_no_model() -> None:
    within = field("text", field("model", "m", "\r\n"))
    for raw in (
        form("X1", FILE),
        form("X1", within),
        form("X2", field("model", "m")),
        b"",
        b"--X1",
    ):
        assert asked_model(FORM + "X1", raw) == ""
        assert renamed(FORM + "X1", raw, "other") == raw
    assert asked_model("multipart/form-data", form("X1", field("model", "m"))) == ""


def test_forms_that_look_like_many_fields_are_read_at_once() -> None:
    line = 'content-disposition: form-data; name="model"\r\n'
    for raw in (line.encode() * 500_000, form("X1", line * 500_000), b"--X1" * 5_000_000):
        assert asked_model(FORM + "X1", raw) == ""


def test_json_names_its_model_and_all_else_stays_as_it_is_written() -> None:
    raw = b'{"a": [1.10, 123456789012345678901234567890], "model": "m", "b": "\\u00e9"}'
    assert asked_model(JSON, raw) == "m"
    found = renamed(JSON, raw, "\u00fc")
    assert json.loads(found) == json.loads(raw) | {"model": "\u00fc"}
    assert b"[1.10, 123456789012345678901234567890]" in found
    deep = b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for other in (b"[]", b"{", b"null", b'{"model": 7}', b'{"a": 1}', b'{"model": "\xff"}', deep):
        assert asked_model(JSON, other) == ""


def test_a_path_that_leads_out_of_its_beginning_is_not_passed_on() -> None:
    paths = PassedPaths(["/v1/files*", "/rerank"])
    for path in ("/v1/files", "/v1/files/a/content", "/v1/files/..a", "/rerank"):
        assert paths.get(path) is not None
    for path in ("/v1/files/../load", "/v1/files/a/..", "/v1/files/./../../x", "/v1/other"):
        assert paths.get(path) is None
    assert StoredResponse.of("/v1/responses/r1/cancel") is not None
    assert StoredResponse.of("/v1/responses/../cancel") is None
    assert StoredResponse.of("/v1/responses/..") is None
