from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.service.protocols import PROTOCOLS, Meter, Used
from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.events import LONGEST, begins, first_said


def chat_event(**members: Any) -> bytes:
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**body, **members}, separators=(",", ":")).encode() + b"\n\n"


def delta(finish: str | None = None, **members: Any) -> bytes:
    return chat_event(choices=[{"index": 0, "delta": members, "finish_reason": finish}])


def named(kind: str, **members: Any) -> bytes:
    body = json.dumps({"type": kind, **members}, separators=(",", ":")).encode()
    return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


TRAPS = 'say "usage":{ and data: [DONE] and "error" \n\ndata: [DONE]\n\n "choices":[]'
USAGE = chat_event(
    choices=[],
    usage={
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "total_tokens": 25,
        "prompt_tokens_details": {"cached_tokens": 16},
    },
)
CALL = [{"index": 0, "id": "c", "function": {"name": "bash", "arguments": ""}}]
CHAT = [
    b": keep-alive\n\n",
    delta(role="assistant", content=""),
    delta(content=TRAPS),
    delta(tool_calls=CALL),
    delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]),
    delta("tool_calls"),
    USAGE,
    b"data: [DONE]\n\n",
]
RESPONSE = {"id": "resp_1", "object": "response", "error": None, "output": [], "usage": None}
RESPONSES = [
    named("response.created", response=RESPONSE),
    named("response.output_item.added", item={"type": "message"}),
    named("response.output_text.delta", delta='"response.completed" "type":"error"'),
    named("response.output_item.added", item={"type": "function_call", "name": "shell"}),
    named("response.output_item.added", item={"type": "function_call", "name": "other"}),
    named(
        "response.completed",
        response={
            **RESPONSE,
            "usage": {
                "input_tokens": 20,
                "output_tokens": 5,
                "input_tokens_details": {"cached_tokens": 16},
            },
        },
    ),
]
MESSAGES = [
    named("message_start", message={"usage": {"input_tokens": 20, "output_tokens": 0}}),
    named("ping"),
    named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    named("content_block_delta", delta={"type": "text_delta", "text": '"message_stop"'}),
    named("content_block_start", index=1, content_block={"type": "tool_use", "name": "Edit"}),
    named(
        "message_delta",
        delta={"stop_reason": "tool_use"},
        usage={"input_tokens": 4, "output_tokens": 5, "cache_read_input_tokens": 16},
    ),
    named("message_stop"),
]
ASKED = {"stream": True, "stream_options": {"include_usage": True}}
STREAMS = {
    "/v1/chat/completions": (CHAT, ASKED, Used(20, 16, 5, "bash", told=True)),
    "/v1/responses": (RESPONSES, {}, Used(20, 16, 5, "shell", "resp_1", told=True)),
    "/v1/messages": (MESSAGES, {}, Used(20, 16, 5, "Edit", told=True)),
}


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


def fed(meter: Meter, chunks: list[bytes]) -> bytes:
    return b"".join([meter.feed(chunk) for chunk in chunks]) + meter.rest()


PLACES = st.lists(st.integers(0, 10_000), max_size=12)


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
@given(places=PLACES)
def test_streams_are_read_however_they_are_cut(path: str, line: bytes, places: list[int]) -> None:
    events, body, used = STREAMS[path]
    data = b"".join(events).replace(b"\n", line)
    meter = PROTOCOLS[path].meter(body)
    assert fed(meter, cut(data, places)) == data
    assert meter.used == used
    assert meter.finished
    assert not meter.failure


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
@given(places=PLACES)
def test_usage_that_was_not_asked_for_is_taken_out(line: bytes, places: list[int]) -> None:
    meter = PROTOCOLS["/v1/chat/completions"].meter({"stream": True})
    out = fed(meter, cut(b"".join(CHAT).replace(b"\n", line), places))
    assert out == b"".join([one for one in CHAT if one is not USAGE]).replace(b"\n", line)
    assert meter.used == Used(20, 16, 5, "bash", told=True)
    assert meter.finished


@given(
    st.lists(
        st.sampled_from(
            [*CHAT, b"junk", b"data: {\n\n", b"\n", b"\r\n", b'{"choices":[]', b"data:"]
        )
        | st.binary(max_size=20)
    ),
    PLACES,
    st.booleans(),
)
def test_nothing_else_is_lost_or_reordered(
    parts: list[bytes], places: list[int], asked: bool
) -> None:
    data = b"".join(parts)
    meter = PROTOCOLS["/v1/chat/completions"].meter(ASKED if asked else {"stream": True})
    out = fed(meter, cut(data, places))
    if out != data:
        assert not asked
        at = next(at for at in range(len(data)) if out[at : at + 1] != data[at : at + 1])
        removed = len(data) - len(out)
        # What is gone is one piece that ends an event and has the usage.
        starts = [s for s in range(at + 1) if data[:s] + data[s + removed :] == out]
        assert any(b'"usage":{' in data[s : s + removed] for s in starts)


@pytest.mark.parametrize("path", STREAMS)
@given(parts=st.lists(st.binary(max_size=30) | st.sampled_from([*MESSAGES, *RESPONSES, *CHAT])))
def test_junk_is_harmless(path: str, parts: list[bytes]) -> None:
    meter = PROTOCOLS[path].meter(ASKED)
    assert fed(meter, parts) == b"".join(parts)


def test_whole_events_are_passed_at_once() -> None:
    meter = PROTOCOLS["/v1/chat/completions"].meter({"stream": True})
    for event in CHAT:
        assert meter.feed(event) == (b"" if event is USAGE else event)


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
@given(places=PLACES)
def test_only_whole_events_are_passed_on(path: str, line: bytes, places: list[int]) -> None:
    events, body, _ = STREAMS[path]
    ends = {0}
    for event in events:
        ends.add(max(ends) + len(event.replace(b"\n", line)))
    meter, passed = PROTOCOLS[path].meter(body), 0
    for chunk in cut(b"".join(events).replace(b"\n", line), places):
        passed += len(meter.feed(chunk))
        assert passed in ends
    assert meter.rest() == b""


def test_what_has_no_end_is_left() -> None:
    for asked in (ASKED, {"stream": True}):
        meter = PROTOCOLS["/v1/chat/completions"].meter(asked)
        assert meter.feed(CHAT[1] + CHAT[2][:50]) == CHAT[1]
        assert meter.rest() == CHAT[2][:50]
        assert meter.rest() == b""


DONE = CHAT[-1]
FINISH = delta("stop")
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


@pytest.mark.parametrize(
    ("path", "sent", "end"),
    [
        ("/v1/chat/completions", [FINISH, USAGE], DONE),
        ("/v1/chat/completions", [FINISH, USAGE, DONE.rstrip()], DONE),
        ("/v1/chat/completions", [FINISH.rstrip()], FINISH + DONE),
        ("/v1/messages", MESSAGES[:-1], STOP),
        ("/v1/responses", [RESPONSES[-1].rstrip()], RESPONSES[-1]),
    ],
)
def test_an_answer_is_whole_though_its_last_event_is_left_out(
    path: str, sent: list[bytes], end: bytes
) -> None:
    meter = PROTOCOLS[path].meter(ASKED)
    for part in sent:
        meter.feed(part)
    assert not meter.finished
    assert meter.close() == end
    assert meter.finished


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/chat/completions", [CHAT[1], FINISH[:40]]),
        ("/v1/messages", MESSAGES[:3]),
        ("/v1/responses", RESPONSES[:1]),
    ],
)
def test_an_answer_that_does_not_say_why_it_ended_is_not_whole(
    path: str, sent: list[bytes]
) -> None:
    meter = PROTOCOLS[path].meter(ASKED)
    for part in sent:
        meter.feed(part)
    assert meter.close() == b""
    assert not meter.finished


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
def test_comments_and_pings_are_no_beginning_of_an_answer(line: bytes) -> None:
    signs = b": busy\n\n" + MESSAGES[1] + b"\n"
    assert not begins(b"")
    assert not begins(signs.replace(b"\n", line))
    assert not begins((signs + MESSAGES[0][:-1]).replace(b"\n", line))
    for first in (MESSAGES[0], RESPONSES[0], CHAT[1]):
        come = (signs + first).replace(b"\n", line)
        assert begins(come)
        assert b"data: " + first_said(come) in first.replace(b"\n", line)
    assert begins(b"x" * 100_000)


def test_tokens_are_counted_by_events_until_the_engine_says() -> None:
    meter = PROTOCOLS["/v1/completions"].meter(ASKED)
    text = chat_event(choices=[{"index": 0, "text": "x"}])
    for _ in range(3):
        meter.feed(text)
    meter.feed(text + text)
    assert meter.used.generated == 5
    assert not meter.finished
    meter.feed(b"data: [DONE]\n\n")
    assert meter.used.generated == 5
    assert meter.finished


def test_usage_with_every_event_is_kept() -> None:
    usage = {"prompt_tokens": 2, "completion_tokens": 1}
    event = chat_event(choices=[{"index": 0, "delta": {"content": "x"}}], usage=usage)
    meter = PROTOCOLS["/v1/chat/completions"].meter({"stream": True})
    assert meter.feed(event) == event
    assert meter.used == Used(2, None, 1, told=True)


@pytest.mark.parametrize(
    ("path", "event"),
    [
        ("/v1/chat/completions", b'data: {"error": {"message": "broken", "code": 500}}\n\n'),
        ("/v1/completions", b'data: {"error":{"message":"broken"}}\n\n'),
        ("/v1/messages", named("error", error={"type": "api_error", "message": "broken"})),
        ("/v1/responses", named("error", message="broken", code="x")),
        ("/v1/responses", named("error", error={"message": "broken"})),
        ("/v1/responses", named("response.failed", response={"error": {"message": "broken"}})),
        *[
            (path, PROTOCOLS[path].error_event(ErrorWords(500, "broken")))
            for path in (*STREAMS, "/v1/completions")
        ],
    ],
)
def test_errors_in_a_stream_are_seen(path: str, event: bytes) -> None:
    meter = PROTOCOLS[path].meter({"stream": True})
    assert fed(meter, [event[:30], event[30:]]) == event
    assert meter.failure == "broken"


def test_an_incomplete_response_is_an_end_too() -> None:
    meter = PROTOCOLS["/v1/responses"].meter({})
    meter.feed(named("response.incomplete", response={"id": "r", "usage": {"output_tokens": 7}}))
    assert meter.finished
    assert (meter.used.id, meter.used.generated) == ("r", 7)


def test_an_endless_event_is_passed_on() -> None:
    meter = PROTOCOLS["/v1/messages"].meter({})
    part = b"x" * 1_000_000
    passed = 0
    for count in range(1, 13):
        passed += len(meter.feed(part))
        assert count * len(part) - passed <= LONGEST
    assert passed
    assert meter.feed(b"\n\n" + b"".join(MESSAGES)).endswith(MESSAGES[-1])
    assert meter.finished
    assert meter.rest() == b""


def test_a_response_is_known_by_its_id_from_its_first_event_on() -> None:
    meter = PROTOCOLS["/v1/responses"].meter({})
    meter.feed(RESPONSES[0])
    assert meter.used.id == "resp_1"
    failed = PROTOCOLS["/v1/responses"].error_event(ErrorWords(500, "broken"), meter.used.id)
    assert b'"response.failed"' in failed
    assert b'"id":"resp_1"' in failed
