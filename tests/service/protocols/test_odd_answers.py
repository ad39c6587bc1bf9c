"""What some servers and some clients write, told in chat completions and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.errors.overflow import Overflow
from weft.service.protocols.events import object_of, split
from weft.service.protocols.translation import where_lacking

PATHS = ["/v1/messages", "/v1/responses"]


def told(path: str, *choices: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream of such choices."""
    translation = where_lacking(path)
    assert translation is not None
    teller = translation.answer({"model": "m"})
    stream = [b"data: %b\n\n" % json.dumps({"choices": [one]}).encode() for one in choices]
    sent = b"".join([*map(teller.feed, stream), teller.feed(b"data: [DONE]\n\n"), teller.end()])
    return [object_of(event) for event in split(sent)]


def calls(path: str, events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Id and arguments of each call of a tool."""
    found: dict[int, tuple[str, str]] = {}
    for event in events:
        if path == "/v1/responses":
            item = event.get("item", {})
            if event["type"] == "response.output_item.done" and item["type"] == "function_call":
                found[event["output_index"]] = item["call_id"], item["arguments"]
        elif event["type"] == "content_block_start":
            found[event["index"]] = event["content_block"]["id"], ""
        elif event["type"] == "content_block_delta":
            id, before = found[event["index"]]
            found[event["index"]] = id, before + event["delta"]["partial_json"]
    return list(found.values())


def texts(path: str, events: list[dict[str, Any]], kind: str) -> str:
    """The text, or the thinking, of an answer."""
    if path == "/v1/responses":
        kind = {"text": "response.output_text.delta"}.get(kind, "response.reasoning_text.delta")
        return "".join(event["delta"] for event in events if event["type"] == kind)
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(delta.get(kind, "") for delta in deltas)


def call(number: int, id: str, arguments: str, name: str = "look") -> dict[str, Any]:
    part = {"index": number, "id": id, "function": {"name": name, "arguments": arguments}}
    return {"delta": {"tool_calls": [part]}}


@pytest.mark.parametrize("path", PATHS)
def test_calls_that_have_one_number_are_told_apart_by_their_ids(path: str) -> None:
    parts = [
        call(0, "a", '{"a": 1}'),
        call(0, "b", ""),
        call(0, "", '{"a"', ""),
        call(0, "b", ": 2}"),
    ]
    parts += [call(0, "c", '{"a": 3}')]
    found = calls(path, told(path, *parts, {"delta": {}, "finish_reason": "tool_calls"}))
    assert found == [("a", '{"a": 1}'), ("b", '{"a": 2}'), ("c", '{"a": 3}')]


@pytest.mark.parametrize("path", PATHS)
def test_an_id_that_changes_within_a_call_is_no_other_call(path: str) -> None:
    parts = [call(0, "a", '{"a"'), call(0, "b", ": 1"), call(0, "c", "}", "")]
    assert calls(path, told(path, *parts)) == [("a", '{"a": 1}')]


@pytest.mark.parametrize("path", PATHS)
def test_content_in_parts(path: str) -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    text = {"type": "text", "text": "Hello"}
    choices = [{"delta": {"content": [thinking]}}, {"delta": {"content": [text]}}]
    events = told(path, *choices, {"delta": {"content": "."}, "finish_reason": "stop"})
    assert texts(path, events, "text") == "Hello."
    assert texts(path, events, "thinking") == "Hm."


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_of_a_whole_message(path: str) -> None:
    message = {"role": "assistant", "content": "Hello."}
    events = told(path, {"message": message, "finish_reason": "stop"})
    assert texts(path, events, "text") == "Hello."


@pytest.mark.parametrize(
    ("words", "prompt", "context"),
    [
        (ErrorWords(400, "prompt token count of 74490 exceeds the limit of 72000"), 74490, 72000),
        (
            ErrorWords(
                400,
                "too many tokens: total number of tokens in the prompt cannot exceed 4081 - "
                "received 5120",
            ),
            None,
            4081,
        ),
        (
            ErrorWords(413, "Request body too large for m model. Max size: 8000 tokens."),
            None,
            8000,
        ),
        (ErrorWords(400, "no", code="model_max_prompt_tokens_exceeded"), None, None),
        (ErrorWords(413, "no", code="tokens_limit_reached"), None, None),
    ],
)
def test_more_words_for_an_overflow(
    words: ErrorWords, prompt: int | None, context: int | None
) -> None:
    assert Overflow.read(words) == Overflow(prompt, context)


def asked(path: str, **body: Any) -> list[dict[str, Any]]:
    """The messages of chat that a request is told in."""
    translation = where_lacking(path)
    assert translation is not None
    return translation.asked({"model": "m", "max_tokens": 9, **body})["messages"]


CHUNK = {"type": "text", "text": "a chunk"}


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "document", "source": {"type": "content", "content": [CHUNK]}}, "a chunk"),
        ({"type": "document", "source": {"type": "content", "content": "a chunk"}}, "a chunk"),
        (
            {"type": "search_result", "source": "http://s", "title": "T", "content": [CHUNK]},
            "T\nhttp://s\na chunk",
        ),
        ({"type": "tool_reference", "tool_name": "Edit"}, "Edit"),
    ],
)
def test_blocks_that_hold_text(block: dict[str, Any], text: str) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    turn = {"role": "user", "content": [result, block]}
    tool, said = asked("/v1/messages", messages=[turn])
    assert (tool["role"], tool["content"], said["content"]) == ("tool", text, text)


def test_a_compaction_of_anthropic_holds_text() -> None:
    block = {"type": "compaction", "content": "It was so."}
    turns = [{"role": "assistant", "content": [block]}, {"role": "user", "content": "Go on."}]
    assert asked("/v1/messages", messages=turns)[0]["content"] == "It was so."


@pytest.mark.parametrize("kind", ["ghost_snapshot", "mcp_list_tools", "web_search_call"])
def test_items_that_say_nothing_to_a_model(kind: str) -> None:
    items = [{"role": "user", "content": "Hi"}, {"type": kind, "id": "x"}]
    assert asked("/v1/responses", input=items) == [{"role": "user", "content": "Hi"}]
