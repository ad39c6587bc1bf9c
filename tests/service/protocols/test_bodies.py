"""What the protocols read of bodies, mend in them and take for their prompts."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.service.protocols import PROTOCOLS, Body, Used

USER = {"role": "user", "content": "hi"}
VALID: dict[str, Body] = {
    "/v1/chat/completions": {"model": "m", "messages": [USER]},
    "/v1/completions": {"model": "m", "prompt": "hi"},
    "/v1/responses": {"model": "m", "input": "hi"},
    "/v1/messages": {"model": "m", "messages": [USER], "max_tokens": 9},
    "/v1/responses/compact": {"model": "m", "input": "hi"},
    "/v1/messages/count_tokens": {"model": "m", "messages": [USER]},
    "/v1/embeddings": {"model": "m", "input": "hi"},
    "/tokenize": {"model": "m", "prompt": "hi"},
    "/detokenize": {"model": "m", "tokens": [1, 2]},
}
CHAT, TEXT, RESPONSES, MESSAGES = list(VALID)[:4]
CODEX = {
    "model": "m",
    "stream": True,
    "store": False,
    "instructions": "You are Codex.",
    "tools": [{"type": "function", "name": "shell"}, {"type": "namespace"}, {"type": "web_search"}],
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]},
    ],
    "unheard_of": {"x": 1},
}


def test_every_endpoint_has_its_protocol() -> None:
    assert set(PROTOCOLS) == set(VALID)
    assert all(path == protocol.path for path, protocol in PROTOCOLS.items())
    scheduled = {path for path, protocol in PROTOCOLS.items() if protocol.schedules}
    assert scheduled == {CHAT, TEXT, RESPONSES, MESSAGES, "/v1/responses/compact"}


@pytest.mark.parametrize(
    ("path", "change"),
    [
        *[(path, {}) for path in VALID],
        (CHAT, {"messages": [{"role": "developer", "content": [{"type": "text", "text": "x"}]}]}),
        (CHAT, {"messages": [USER, {"role": "assistant", "tool_calls": []}, {"role": "any"}]}),
        (CHAT, {"max_tokens": 5.0, "stream": None, "stream_options": None, "tools": None}),
        (CHAT, {"tools": [{"type": "namespace"}, {"type": "web_search"}], "new": {}}),
        (TEXT, {"prompt": [1, 2], "max_tokens": 0}),
        (TEXT, {"prompt": ["a", "b"]}),
        (TEXT, {"prompt": [[1], [2]]}),
        (TEXT, {"prompt": None, "prompt_embeds": "x"}),
        (RESPONSES, CODEX),
        (RESPONSES, {"input": [], "previous_response_id": "r"}),
        (MESSAGES, {"system": [{"type": "text", "text": "x"}]}),
        ("/v1/embeddings", {"input": [1, 2]}),
        ("/tokenize", {"prompt": None, "messages": [USER]}),
    ],
)
def test_what_clients_send_is_taken(path: str, change: Body) -> None:
    assert PROTOCOLS[path].check({**VALID[path], **change}) == ""


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        *[(path, {"model": bad}, "model") for path in VALID for bad in (None, "", 1, ["m"])],
        *[(CHAT, {"messages": bad}, "messages") for bad in (None, [], {}, "hi", 1)],
        (CHAT, {"messages": [USER, "hi"]}, "messages[1]"),
        (CHAT, {"messages": [USER, {"content": "hi"}]}, "messages[1].role"),
        (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        *[(CHAT, {"max_tokens": bad}, "max_tokens") for bad in (0, -1, 1.5, "9", True)],
        (CHAT, {"max_completion_tokens": 0}, "max_completion_tokens"),
        (CHAT, {"stream": "yes"}, "stream"),
        (CHAT, {"stream": 1}, "stream"),
        (CHAT, {"stream_options": "usage"}, "stream_options"),
        (CHAT, {"tools": {}}, "tools"),
        (CHAT, {"tools": ["bash"]}, "tools"),
        *[(TEXT, {"prompt": bad}, "prompt") for bad in (None, [], {}, 1, [None])],
        (TEXT, {"max_tokens": -1}, "max_tokens"),
        *[(RESPONSES, {"input": bad}, "input") for bad in (None, [], {}, 1)],
        (RESPONSES, {"input": [USER, "hi"]}, "input[1]"),
        (RESPONSES, {"max_output_tokens": 0}, "max_output_tokens"),
        (MESSAGES, {"max_tokens": None}, "max_tokens"),
        (MESSAGES, {"max_tokens": 0}, "max_tokens"),
        (MESSAGES, {"system": 5}, "system"),
        ("/v1/messages/count_tokens", {"messages": []}, "messages"),
        ("/v1/embeddings", {"input": ""}, "input"),
        ("/v1/embeddings", {"input": []}, "input"),
        ("/tokenize", {"prompt": None}, "prompt"),
        ("/tokenize", {"messages": []}, "messages"),
        ("/detokenize", {"tokens": "1"}, "tokens"),
    ],
)
def test_what_is_wrong_is_named(path: str, change: Body, field: str) -> None:
    problem = PROTOCOLS[path].check({**VALID[path], **change})
    assert problem.startswith(f"{field} ")
    assert "\n" not in problem


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ROLES = st.sampled_from(["user", "assistant", "system", "tool", "other"])
MESSAGE = st.fixed_dictionaries({"role": ROLES | VALUES}, optional={"content": VALUES})
FIELDS = {
    "messages": st.lists(MESSAGE, max_size=4) | VALUES,
    "input": st.lists(MESSAGE, max_size=4) | VALUES,
    **dict.fromkeys(
        ("stream", "stream_options", "max_tokens", "tools", "system", "prompt", "tokens"),
        VALUES,
    ),
}


@pytest.mark.parametrize("path", VALID)
@settings(max_examples=30)
@given(change=st.fixed_dictionaries({}, optional=FIELDS))
def test_any_body_that_passes_the_check_can_be_handled(path: str, change: Body) -> None:
    protocol = PROTOCOLS[path]
    body = copy.deepcopy({**VALID[path], **change})
    if protocol.check(body):
        return
    before = copy.deepcopy(body)
    streamed = protocol.streamed(body)
    if protocol.mend(body):
        assert body != before
        assert not protocol.check(body) or not body["messages"]
        assert not protocol.mend(body)
    else:
        assert orjson.dumps(body) == orjson.dumps(before)
    assert all(isinstance(piece, bytes) for piece in protocol.pieces(body))
    assert protocol.streamed(body) == streamed
    orjson.loads(b"{" + protocol.extra(body) + b"}")
    protocol.limit(body)
    protocol.previous(body)
    protocol.meter(body)
    protocol.used(body)


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_streams_are_made_to_tell_their_usage(path: str) -> None:
    protocol, body = PROTOCOLS[path], {**VALID[path], "stream": True}
    assert orjson.loads(b"{" + protocol.extra(body) + b"}") == {
        "stream_options": {"include_usage": True}
    }
    assert not protocol.mend(body)
    for options in (None, {}, {"include_usage": False}, {"include_usage": None, "x": 1}):
        wish = {**VALID[path], "stream": True, "stream_options": options}
        body = dict(wish)
        assert protocol.extra(body) == b""
        assert protocol.mend(body)
        sent = orjson.loads(orjson.dumps(body))["stream_options"]
        assert sent == {**(options or {}), "include_usage": True}
        event = b'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\n'
        assert protocol.meter(wish).feed(event) == b""
    body = {**VALID[path], "stream": True, "stream_options": {"include_usage": True}}
    assert not protocol.mend(body)
    assert protocol.meter(body).feed(event) == event
    assert protocol.extra(VALID[path]) == b""
    assert not protocol.mend({**VALID[path], "stream_options": {}})


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def reminder(value: str) -> dict[str, Any]:
    return text(f"<system-reminder>\n{value}\n</system-reminder>")


RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
CALLS = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "B"}]}
BILLING = "x-anthropic-billing-header: cc_version=2.1.197; cch=0a1b2;"


@pytest.mark.parametrize(
    ("system", "mended"),
    [
        ([text(BILLING), text("You are")], [text("You are")]),
        ([text(BILLING)], None),
        (BILLING + "\nYou are", "You are"),
        (BILLING, None),
    ],
)
@pytest.mark.parametrize("path", [MESSAGES, "/v1/messages/count_tokens"])
def test_the_billing_header_is_stripped(path: str, system: Any, mended: Any) -> None:
    body = {**VALID[path], "system": system}
    assert PROTOCOLS[path].mend(body)
    assert body.get("system") == mended
    assert "system" in body or mended is None


@pytest.mark.parametrize(
    ("turns", "mended"),
    [
        pytest.param(
            [USER, {"role": "system", "content": "s"}],
            [{"role": "user", "content": [text("hi"), reminder("s")]}],
            id="after-text",
        ),
        pytest.param(
            [
                USER,
                CALLS,
                {"role": "user", "content": [RESULT]},
                {"role": "system", "content": [text("s", cache_control={"type": "ephemeral"})]},
                {"role": "assistant", "content": "done"},
            ],
            [
                USER,
                CALLS,
                {"role": "user", "content": [RESULT, reminder("s")]},
                {"role": "assistant", "content": "done"},
            ],
            id="after-tool-result",
        ),
        pytest.param(
            [
                USER,
                CALLS,
                {"role": "system", "content": "s"},
                {"role": "user", "content": [RESULT, text("x")]},
            ],
            [USER, CALLS, {"role": "user", "content": [RESULT, reminder("s"), text("x")]}],
            id="before-tool-result",
        ),
        pytest.param(
            [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER],
            [{"role": "user", "content": [reminder("a"), reminder("b"), text("hi")]}],
            id="first",
        ),
        pytest.param(
            [USER, CALLS, {"role": "system", "content": "s"}, CALLS],
            [USER, CALLS, {"role": "user", "content": [reminder("s")]}, CALLS],
            id="between-answers",
        ),
        pytest.param(
            [USER, CALLS, {"role": "system", "content": "s"}],
            [USER, CALLS, {"role": "user", "content": [reminder("s")]}],
            id="after-an-answer",
        ),
        pytest.param([{"role": "system", "content": BILLING}, USER], [USER], id="billing"),
    ],
)
def test_system_turns_stay_where_they_are_as_reminders(turns: list[Any], mended: list[Any]) -> None:
    body: Body = {**VALID[MESSAGES], "messages": copy.deepcopy(turns)}
    assert PROTOCOLS[MESSAGES].mend(body)
    assert body["messages"] == mended


def test_turns_that_change_tools_are_left_to_the_engine() -> None:
    change = {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "B"}}
    turns = [USER, {"role": "system", "content": [change]}]
    body: Body = {**VALID[MESSAGES], "messages": turns}
    PROTOCOLS[MESSAGES].mend(body)
    assert body["messages"] == turns


def grown(path: str, *bodies: Body) -> None:
    """Each body's pieces begin with those of the one before it."""
    made = list[list[bytes]]()
    for body in copy.deepcopy(list(bodies)):
        PROTOCOLS[path].mend(body)
        made.append(PROTOCOLS[path].pieces(body))
    for before, after in pairwise(made):
        assert after[: len(before)] == before
        assert len(after) > len(before)


def test_a_conversation_of_claude_code_keeps_its_beginning() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    tools = [{"name": "B", "input_schema": {"type": "object"}}]
    first = {
        "tools": [{**tools[0], **mark}],
        "system": [text(BILLING), text("You are", **mark)],
        "messages": [
            {"role": "user", "content": [text("task", **mark)]},
            {"role": "system", "content": [text("1 tokens left", **mark)]},
        ],
    }
    second = {
        "tools": tools,
        "system": [text(BILLING.replace("0a", "ff")), text("You are")],
        "messages": [
            {"role": "user", "content": "task"},
            {"role": "system", "content": "1 tokens left"},
            CALLS,
            {"role": "user", "content": [{**RESULT, "content": [text("ok", **mark)], **mark}]},
        ],
    }
    third: dict[str, Any] = copy.deepcopy(second)
    third["messages"][3]["content"] = [{**RESULT, "content": [text("ok")]}]
    third["messages"] += [{"role": "assistant", "content": "done"}, USER]
    grown(MESSAGES, first, second, third)


def test_a_conversation_of_codex_keeps_its_beginning() -> None:
    item = {"type": "function_call", "call_id": "c", "name": "shell", "arguments": "{}"}
    second: Body = copy.deepcopy(CODEX)
    second["input"] += [
        {**item, "id": "fc_1", "status": "completed"},
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
    ]
    third: Body = copy.deepcopy(CODEX)
    third["input"] += [item, second["input"][-1], {"role": "user", "content": "more"}]
    grown(RESPONSES, CODEX, second, third)
    body: Body = {"input": "hi"}
    longer: Body = {"input": [USER, {"role": "assistant", "content": "a"}]}
    grown(RESPONSES, body, longer)


def test_a_chat_keeps_its_beginning() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
    tools = [{"type": "function", "function": {"name": "bash"}}]
    system = {"role": "system", "content": "You are"}
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    first = {"tools": tools, "messages": [system, USER]}
    second = {
        "tools": tools,
        "temperature": 1,
        "messages": [
            {**system, "content": [text("You are", cache_control={"type": "ephemeral"})]},
            USER,
            answer,
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
        ],
    }
    third = {
        **first,
        "messages": [*first["messages"], {**answer, "id": "m"}, *second["messages"][3:]],
    }
    third["messages"] = [*third["messages"], {"role": "system", "content": "late"}, USER]
    grown(CHAT, first, second, third)


def test_what_is_rendered_makes_a_difference() -> None:
    pieces = PROTOCOLS[CHAT].pieces
    call = {"function": {"name": "a", "arguments": "{}"}}
    bodies: list[Body] = [
        {"messages": [USER]},
        {"messages": [{**USER, "role": "system"}]},
        {"messages": [{**USER, "content": "ho"}]},
        {"messages": [{**USER, "name": "jo"}]},
        {"messages": [{**USER, "tool_calls": [call]}]},
        {"messages": [USER], "tools": [{"type": "function"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
    ]
    made = [tuple(pieces(body)) for body in bodies]
    assert len(set(made)) == len(made)


def test_token_ids_count_four_bytes_each() -> None:
    pieces = PROTOCOLS[TEXT].pieces
    short, long = pieces({"prompt": [1, 2, 300]})[0], pieces({"prompt": [1, 2, 300, 70_000]})[0]
    assert len(short) == 12
    assert long.startswith(short)
    assert pieces({"prompt": ["a", "b"]}) == [b"a", b"b"]
    assert len(pieces({"prompt": [[1], [-1]]})) == 2


def test_bodies_nested_too_deep_are_no_error() -> None:
    deep: Any = "x"
    for _ in range(600):
        deep = [deep]
    assert PROTOCOLS[CHAT].pieces({"tools": deep, "messages": [{"role": "user", "content": deep}]})


@pytest.mark.parametrize(
    ("path", "answer", "used"),
    [
        (
            CHAT,
            {
                "choices": [{"message": {"tool_calls": [{"function": {"name": "bash"}}]}}],
                "usage": {
                    "prompt_tokens": 20,
                    "completion_tokens": 5,
                    "prompt_tokens_details": {"cached_tokens": 16},
                },
            },
            Used(20, 16, 5, "bash", told=True),
        ),
        (
            TEXT,
            {"choices": [{"text": "x"}], "usage": {"prompt_tokens": 2, "completion_tokens": 1}},
            Used(2, None, 1, told=True),
        ),
        (
            RESPONSES,
            {
                "id": "resp_1",
                "output": [{"type": "reasoning"}, {"type": "local_shell_call"}],
                "usage": {
                    "input_tokens": 20,
                    "output_tokens": 5,
                    "input_tokens_details": {"cached_tokens": 0},
                },
            },
            Used(20, 0, 5, "local_shell", "resp_1", told=True),
        ),
        (
            MESSAGES,
            {
                "content": [text("x"), {"type": "tool_use", "name": "Bash"}],
                "usage": {
                    "input_tokens": 3,
                    "output_tokens": 5,
                    "cache_read_input_tokens": 16,
                    "cache_creation_input_tokens": 1,
                },
            },
            Used(20, 16, 5, "Bash", told=True),
        ),
        ("/v1/messages/count_tokens", {"input_tokens": 20}, Used(20)),
        ("/v1/embeddings", {"usage": {"prompt_tokens": 20}}, Used(20)),
        (CHAT, {"usage": {"prompt_tokens": "x", "completion_tokens": -1}}, Used()),
    ],
)
def test_usage_of_whole_answers(path: str, answer: Body, used: Used) -> None:
    assert PROTOCOLS[path].used(answer) == used


def test_limits_of_answers() -> None:
    assert PROTOCOLS[CHAT].limit({"max_tokens": 5, "max_completion_tokens": 7}) == 7
    assert PROTOCOLS[CHAT].limit({"max_tokens": 5}) == 5
    assert PROTOCOLS[TEXT].limit({}) is None
    assert PROTOCOLS[RESPONSES].limit({"max_output_tokens": 5}) == 5
    assert PROTOCOLS[MESSAGES].limit({"max_tokens": 5}) == 5
    assert PROTOCOLS[RESPONSES].previous({"previous_response_id": "r"}) == "r"
