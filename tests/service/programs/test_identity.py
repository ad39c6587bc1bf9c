from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.service.programs.identity import LONGEST, Identity, identify

CLAUDE = {"user-agent": "claude-cli/2.1.197 (external, cli)", "x-claude-code-session-id": "S"}
CODEX = {"user-agent": "codex_exec/0.169.0 (Debian 13; x86_64)", "session-id": "S"}
LITELLM = {"user-agent": "OpenAI/Python 2.8.0", "x-stainless-retry-count": "0"}


CLIENTS: dict[str, tuple[dict[str, str], dict[str, Any], Identity]] = {
    "codex": (
        {**CODEX, "thread-id": "S"},
        {"prompt_cache_key": "S"},
        Identity("S", "session-id", "", "codex"),
    ),
    "codex-sub-agent": (
        {**CODEX, "thread-id": "T", "x-codex-parent-thread-id": "S"},
        {"prompt_cache_key": "S"},
        Identity("T", "thread-id", "S", "codex"),
    ),
    "codex-body-only": ({}, {"prompt_cache_key": "S"}, Identity("S", "prompt_cache_key")),
    "claude-code": (
        CLAUDE,
        {"metadata": {"user_id": json.dumps({"session_id": "S"})}},
        Identity("S", "x-claude-code-session-id", "", "claude-code"),
    ),
    "claude-code-sub-agent": (
        {**CLAUDE, "x-claude-code-agent-id": "a1"},
        {},
        Identity("S:a1", "x-claude-code-agent-id", "S", "claude-code"),
    ),
    "claude-code-sub-sub-agent": (
        {
            **CLAUDE,
            "x-claude-code-agent-id": "a2",
            "x-claude-code-parent-agent-id": "a1",
        },
        {},
        Identity("S:a2", "x-claude-code-agent-id", "S:a1", "claude-code"),
    ),
    "claude-code-body-only": (
        {"user-agent": "claude-cli/2.1.197"},
        {"metadata": {"user_id": json.dumps({"device_id": "D", "session_id": "S"})}},
        Identity("S", "metadata.user_id", "", "claude-code"),
    ),
    "claude-code-old": (
        {},
        {"metadata": {"user_id": "user_ab_account_cd_session_S"}},
        Identity("S", "metadata.user_id"),
    ),
    "opencode": (
        {"user-agent": "opencode/1.18.33", "x-session-id": "S", "x-session-affinity": "S"},
        {},
        Identity("S", "x-session-id", "", "opencode"),
    ),
    "opencode-child": (
        {"user-agent": "opencode/1.18.33", "x-session-id": "C", "x-parent-session-id": "S"},
        {},
        Identity("C", "x-session-id", "S", "opencode"),
    ),
    "parent-is-no-identity": ({"x-parent-session-id": "S"}, {}, Identity(parent="S")),
    "openhands": (
        {**LITELLM, "x-litellm-session-id": "S"},
        {"prompt_cache_key": "P"},
        Identity("S", "x-litellm-session-id", "", "openai-python"),
    ),
    "mini-swe-agent-aider": (LITELLM, {}, Identity(name="openai-python")),
    "title-over-library": ({**LITELLM, "x-title": "Aider"}, {}, Identity(name="aider")),
    "cline": ({"user-agent": "Cline/3.0.65"}, {"stream": True}, Identity(name="cline")),
    "own": (
        {"x-weft-program": "P", "x-weft-parent": "Q", "x-weft-name": "n", "x-weft-stage": "s"},
        {"prompt_cache_key": "K"},
        Identity("P", "x-weft-program", "Q", "n", "s"),
    ),
    "own-over-sub-agent": (
        {**CLAUDE, "x-weft-program": "P", "x-claude-code-agent-id": "a"},
        {},
        Identity("P", "x-weft-program", "", "claude-code"),
    ),
    "trace-first": (
        {"x-litellm-trace-id": "T", "x-any-session-id": "A", "session-id": "B"},
        {},
        Identity("T", "x-litellm-trace-id"),
    ),
    "order-of-headers": (
        {"x-session-id": "C", "session-id": "B", "x-any-session-id": "A"},
        {},
        Identity("A", "x-any-session-id"),
    ),
    "litellm-body": ({}, {"litellm_session_id": "L"}, Identity("L", "litellm_session_id")),
    "metadata": ({}, {"metadata": {"session_id": "M"}}, Identity("M", "metadata.session_id")),
    "baggage": (
        {"baggage": "user.id=me, session.id=a%20b;p=1,x=y"},
        {},
        Identity("a b", "baggage"),
    ),
    **{
        name: ({name: "S"}, {}, Identity("S", name))
        for name in (
            "agent-session-id",
            "x-opencode-session",
            "x-grok-conv-id",
            "x-kilocode-taskid",
            "x-kilo-session",
            "x-conversation-id",
            "x-openwebui-chat-id",
            "helicone-session-id",
        )
    },
    "underscores": ({"session_id": "S"}, {}, Identity("S", "session-id")),
    "more-underscores": ({"x_session_id": "S"}, {}, Identity("S", "x-session-id")),
    "openrouter": ({}, {"session_id": "S"}, Identity("S", "session_id")),
    "body-in-camels": ({}, {"sessionId": "S"}, Identity("S", "sessionId")),
    "body-conversation": ({}, {"conversation_id": "C"}, Identity("C", "conversation_id")),
    "body-chat": ({}, {"chat_id": "C"}, Identity("C", "chat_id")),
    "body-thread": ({}, {"thread_id": None, "x": 1}, Identity()),
    "metadata-task": ({}, {"metadata": {"taskId": "T"}}, Identity("T", "metadata.taskId")),
    "metadata-thread": ({}, {"metadata": {"threadId": 5}}, Identity("5", "metadata.threadId")),
    "thread-header": ({"x-amp-thread-id": "T"}, {}, Identity("T", "x-amp-thread-id")),
    "thread-alone": ({"thread-id": "T"}, {}, Identity("T", "thread-id")),
    "qwen-code": (
        {"user-agent": "QwenCode/0.24.4 (linux; x64)"},
        {"metadata": {"sessionId": "S", "promptId": "P"}},
        Identity("S", "metadata.sessionId", "", "qwen-code"),
    ),
    "conversation": ({}, {"conversation": "conv_1"}, Identity("conv_1", "conversation")),
    "conversation-object": (
        {},
        {"conversation": {"id": "conv_1"}},
        Identity("conv_1", "conversation"),
    ),
    "not-of-others": (
        {"x-session-id": "S", "x-kilo-parent-session-id": "Q", "mcp-session-id": "T"},
        {},
        Identity("S", "x-session-id"),
    ),
    "what-stands-for-nothing-is-passed-over": (
        {"x-session-id": " ", "session-id": "undefined", "x-litellm-session-id": "{}"},
        {
            "prompt_cache_key": "00000000-0000-0000-0000-000000000000",
            "litellm_session_id": '""',
            "session_id": 17,
        },
        Identity("17", "session_id"),
    ),
    "people": (
        {},
        {"user": "jo", "safety_identifier": "jo", "metadata": {"user_id": "jo"}},
        Identity(),
    ),
    "resent": (
        {"x-stainless-retry-count": "2", "idempotency-key": "k"},
        {},
        Identity(resent=True, key="k"),
    ),
    "other": ({"user-agent": "curl/8.14"}, {}, Identity(name="curl")),
}
"""What clients send, in headers and body, and who is recognised by it."""


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_are_recognised(client: str) -> None:
    headers, body, expected = CLIENTS[client]
    assert identify(headers, body) == expected


def test_what_can_not_be_shown_is_replaced_and_stays_different() -> None:
    bad = ["a\nb", "a\rb", "x" * (LONGEST + 1), "y" * (LONGEST + 1), "\ud800", "a\x00"]
    ids = [identify({"x-weft-program": one}, {}).id for one in bad]
    assert len(set(ids)) == len(bad)
    assert all(one.isprintable() and len(one) <= LONGEST for one in ids)
    assert identify({"x-weft-program": "é" * LONGEST}, {}).id == "é" * LONGEST


def test_an_id_is_the_same_in_header_and_body_whatever_its_letters() -> None:
    for id in ("ключ", "会话-1", "café"):
        header = id.encode().decode("latin-1")  # as servers read it
        found = identify({"x-weft-program": header, "x-weft-parent": f"{header}0"}, {})
        assert (found.id, found.parent) == (id, f"{id}0")
        assert identify({}, {"session_id": id}).id == id
    assert identify({"x-weft-program": "caf\xe9"}, {}).id == "café"


def test_ids_that_users_count_for_themselves_are_apart() -> None:
    header = {"agent-session-id": "20261129_1"}
    found = {
        identify(header | {"authorization": f"Bearer {key}"}, {"user": user}, host).id
        for key in ("a", "b")
        for user in ("jo", "al")
        for host in ("10.0.0.1", "10.0.0.2")
    }
    assert len(found) == 8
    assert identify(header, {}, "127.0.0.1").id == "20261129_1"


def test_who_asks_is_told_by_key_client_and_person() -> None:
    asked: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({}, {}),
        ({"authorization": "Bearer a"}, {}),
        ({"x-api-key": "b"}, {}),
        ({"user-agent": "aider/1"}, {}),
        ({"x-weft-name": "mine"}, {}),
        ({}, {"user": "jo"}),
        ({}, {"safety_identifier": "al"}),
    ]
    assert len({identify(*one).who for one in asked}) == len(asked)
    assert identify({"user-agent": "aider/2"}, {}).who == identify(*asked[3]).who
    assert identify({}, {"user": ["jo"]}).who == identify({}, {}).who


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "x-weft-program",
                "x-weft-parent",
                "x-claude-code-agent-id",
                "x-codex-parent-thread-id",
                "thread-id",
                "baggage",
                "user-agent",
                "x-title",
                "x--session-id",
                "session_id",
                "agent-session-id",
                "x-opencode-session",
                "authorization",
                "x-stainless-retry-count",
            ]
        ),
        st.text(st.characters(max_codepoint=255)),
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_cache_key": VALUES,
            "metadata": VALUES
            | st.fixed_dictionaries({"user_id": VALUES | st.just('{"session_id')})
            | st.fixed_dictionaries({"sessionId": VALUES}),
            "litellm_session_id": VALUES,
            "session_id": VALUES,
            "conversation": VALUES | st.fixed_dictionaries({"id": VALUES}),
            "user": VALUES,
        },
    ),
)
def test_hostile_values_are_harmless(headers: dict[str, str], body: dict[str, Any]) -> None:
    found = identify(headers, body)
    for text in (found.id, found.parent, found.name, found.stage, found.key):
        assert text.isprintable()
        assert len(text) <= LONGEST
    assert bool(found.id) == bool(found.source)
    assert not found.id or found.id != found.parent
