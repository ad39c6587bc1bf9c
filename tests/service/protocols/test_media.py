"""Images, audio and files in bodies: known by what they are, and never taken for text."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from weft.service.protocols import PROTOCOLS, Body
from weft.service.protocols.media import SIZE, media_in

CHAT, TEXT, RESPONSES, MESSAGES = (
    *("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"),
)
DATA = base64.b64encode(bytes(range(256)) * 400).decode()
URL = f"data:image/png;base64,{DATA}"
ADDRESS = "https://pictures.example/a.png"
BASE64 = {"type": "base64", "media_type": "image/png", "data": DATA}


def chat(*parts: Any, role: str = "user") -> Body:
    return {"messages": [{"role": role, "content": [{"type": "text", "text": "See:"}, *parts]}]}


def responses(*items: Any) -> Body:
    return {"input": [{"role": "user", "content": "See:"}, *items]}


def said(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [*parts]}


def result(*blocks: Any) -> Body:
    inner = {"type": "tool_result", "tool_use_id": "t", "content": [*blocks]}
    return {"messages": [{"role": "user", "content": [inner]}]}


def output(value: Any, kind: str = "function_call_output") -> dict[str, Any]:
    return {"type": kind, "call_id": "c", "output": value}


IMAGE = {"type": "image", "source": BASE64}
INPUT_IMAGE = {"type": "input_image", "image_url": URL, "detail": "auto"}
BODIES: list[tuple[str, Body]] = [
    (CHAT, chat({"type": "image_url", "image_url": {"url": URL, "detail": "low"}})),
    (CHAT, chat({"type": "image_url", "image_url": {"url": ADDRESS}})),
    (CHAT, chat({"type": "image_url", "image_url": URL})),
    (CHAT, chat({"image_url": URL})),
    (CHAT, chat({"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}})),
    (CHAT, chat({"type": "audio_url", "audio_url": {"url": URL}})),
    (CHAT, chat({"type": "video_url", "video_url": {"url": URL}})),
    (CHAT, chat({"type": "image_embeds", "image_embeds": {"a": DATA}})),
    (CHAT, chat({"type": "file", "file": {"file_data": URL, "filename": "a.pdf"}})),
    (CHAT, chat({"type": "file", "file": {"file_id": "file-1"}})),
    (CHAT, chat({"type": "image_url", "image_url": {"url": URL}}, role="tool")),
    (CHAT, chat({"inline_data": {"mime_type": "image/png", "data": DATA}})),
    (CHAT, chat({"type": "media", "mediaType": "image/png", "data": DATA}, role="tool")),
    (TEXT, {"prompt_embeds": DATA}),
    (RESPONSES, responses(said(INPUT_IMAGE))),
    (RESPONSES, responses(said({"type": "input_image", "file_id": "file-1"}))),
    (RESPONSES, responses(said({"type": "input_file", "file_data": URL, "filename": "a.pdf"}))),
    (RESPONSES, responses(said({"type": "input_file", "file_url": ADDRESS}))),
    (RESPONSES, responses(said({"type": "input_audio", "input_audio": {"data": DATA}}))),
    (RESPONSES, responses(output([{"type": "input_text", "text": "a"}, INPUT_IMAGE]))),
    (RESPONSES, responses(output([INPUT_IMAGE], "custom_tool_call_output"))),
    (
        RESPONSES,
        responses(
            output({"type": "computer_screenshot", "image_url": URL}, "computer_call_output")
        ),
    ),
    (RESPONSES, responses({"type": "image_generation_call", "result": DATA})),
    (MESSAGES, {"messages": [{"role": "user", "content": [IMAGE]}]}),
    (MESSAGES, {"messages": [said({"type": "image", "source": {"type": "url", "url": ADDRESS}})]}),
    (MESSAGES, {"messages": [said({"type": "image", "source": {"type": "file", "file_id": "f"}})]}),
    (MESSAGES, {"messages": [said({"type": "document", "source": BASE64, "title": "a"})]}),
    (MESSAGES, {"messages": [said({"type": "document", "source": {"type": "url", "url": "u"}})]}),
    (MESSAGES, result(IMAGE)),
    (MESSAGES, result({"type": "resource", "resource": {"mimeType": "a/b", "blob": DATA}})),
    (MESSAGES, result({"type": "shot", "value": DATA})),
    (MESSAGES, result({"type": "picture", "url": URL})),
    (MESSAGES, result({"type": "text", "text": "a"}, {"type": "document", "source": BASE64})),
    (MESSAGES, {"messages": [said({"type": "mcp_tool_result", "content": [IMAGE]})]}),
    (MESSAGES, {"system": [IMAGE], "messages": [said({"type": "text", "text": "a"})]}),
]
NUMBERED = [pytest.param(path, body, id=f"{n}{path}") for n, (path, body) in enumerate(BODIES)]


def changed(value: Any) -> Any:
    """A copy with other bytes, another address or another id."""
    if isinstance(value, dict):
        return {key: changed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [changed(one) for one in value]
    if value in (URL, DATA):
        return value[:-9] + "x" + value[-8:]
    return value + "2" if value in (ADDRESS, "u", "f", "file-1") else value


@pytest.mark.parametrize(("path", "body"), NUMBERED)
def test_a_part_is_known_by_what_it_is_and_counts_once(path: str, body: Body) -> None:
    pieces = PROTOCOLS[path].pieces(body)
    assert sum(map(media_in, pieces)) == 1
    assert SIZE <= sum(map(len, pieces)) < SIZE + 200  # however many bytes it has
    assert PROTOCOLS[path].pieces(copy.deepcopy(body)) == pieces
    other = PROTOCOLS[path].pieces(changed(body))
    assert other != pieces
    assert sum(map(media_in, other)) == 1


def marked(value: Any, outer: bool = True) -> Any:
    """A copy with a cache marker and an id on every part."""
    if isinstance(value, list):
        return [marked(one) for one in value]
    if not isinstance(value, dict):
        return value
    copied = {key: marked(one) for key, one in value.items()}
    if "type" in value and "role" not in value:
        copied |= {"cache_control": {"type": "ephemeral"}}
    return copied


@pytest.mark.parametrize(("path", "body"), NUMBERED)
def test_markers_do_not_make_it_another(path: str, body: Body) -> None:
    assert PROTOCOLS[path].pieces(marked(body)) == PROTOCOLS[path].pieces(body)


def test_documents_of_text_are_text() -> None:
    pieces = PROTOCOLS[MESSAGES].pieces
    plain = {"type": "text", "media_type": "text/plain", "data": "words " * 1000}
    blocks = {"type": "content", "content": [{"type": "text", "text": "words " * 1000}]}
    for source in (plain, blocks):
        (piece,) = pieces({"messages": [said({"type": "document", "source": source})]})
        assert media_in(piece) == 0
        assert len(piece) > 6000
    mixed = {"type": "content", "content": [{"type": "text", "text": "a"}, IMAGE]}
    (piece,) = pieces({"messages": [said({"type": "document", "source": mixed})]})
    assert media_in(piece) == 1


def test_what_the_model_reads_as_text_stays_text() -> None:
    for text in (URL, f'{{"image": "{URL}"}}'):
        (piece,) = PROTOCOLS[CHAT].pieces({"messages": [{"role": "tool", "content": text}]})
        assert media_in(piece) == 0
        assert len(piece) > len(text)


def test_what_is_sealed_is_neither_text_nor_a_part() -> None:
    reasoning = {"type": "reasoning", "summary": [], "encrypted_content": DATA}
    pieces = PROTOCOLS[RESPONSES].pieces(responses(reasoning))
    assert len(pieces[1]) < 100
    assert media_in(pieces[1]) == 0
    assert PROTOCOLS[RESPONSES].pieces(responses(changed(reasoning))) != pieces
    hidden = {"type": "redacted_thinking", "data": DATA}
    (piece,) = PROTOCOLS[MESSAGES].pieces({"messages": [said(hidden)]})
    assert len(piece) < 100


def test_token_ids_are_not_taken_for_a_part() -> None:
    ids = [255, 65_535, 0xFF_FFFF, 16_777_215] * 100
    (piece,) = PROTOCOLS[TEXT].pieces({"prompt": ids})
    assert media_in(piece) == 0
