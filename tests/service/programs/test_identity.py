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


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        pytest.param(
            {**CODEX, "thread-id": "S"},
            {"prompt_cache_key": "S"},
            Identity("S", "session-id", "", "codex"),
            id="codex",
        ),
        pytest.param(
            {**CODEX, "thread-id": "T", "x-codex-parent-thread-id": "S"},
            {"prompt_cache_key": "S"},
            Identity("T", "thread-id", "S", "codex"),
            id="codex-sub-agent",
        ),
        pytest.param(
            {}, {"prompt_cache_key": "S"}, Identity("S", "prompt_cache_key"), id="codex-body-only"
        ),
        pytest.param(
            CLAUDE,
            {"metadata": {"user_id": json.dumps({"session_id": "S"})}},
            Identity("S", "x-claude-code-session-id", "", "claude-code"),
            id="claude-code",
        ),
        pytest.param(
            {**CLAUDE, "x-claude-code-agent-id": "a1"},
            {},
            Identity("S:a1", "x-claude-code-agent-id", "S", "claude-code"),
            id="claude-code-sub-agent",
        ),
        pytest.param(
            {
                **CLAUDE,
                "x-claude-code-agent-id": "a2",
                "x-claude-code-parent-agent-id": "a1",
            },
            {},
            Identity("S:a2", "x-claude-code-agent-id", "S:a1", "claude-code"),
            id="claude-code-sub-sub-agent",
        ),
        pytest.param(
            {"user-agent": "claude-cli/2.1.197"},
            {"metadata": {"user_id": json.dumps({"device_id": "D", "session_id": "S"})}},
            Identity("S", "metadata.user_id", "", "claude-code"),
            id="claude-code-body-only",
        ),
        pytest.param(
            {},
            {"metadata": {"user_id": "user_ab_account_cd_session_S"}},
            Identity("S", "metadata.user_id"),
            id="claude-code-old",
        ),
        pytest.param(
            {"user-agent": "opencode/1.18.33", "x-session-id": "S", "x-session-affinity": "S"},
            {},
            Identity("S", "x-session-id", "", "opencode"),
            id="opencode",
        ),
        pytest.param(
            {"user-agent": "opencode/1.18.33", "x-session-id": "C", "x-parent-session-id": "S"},
            {},
            Identity("C", "x-session-id", "S", "opencode"),
            id="opencode-child",
        ),
        pytest.param(
            {"x-parent-session-id": "S"}, {}, Identity(parent="S"), id="parent-is-no-identity"
        ),
        pytest.param(
            {**LITELLM, "x-litellm-session-id": "S"},
            {"prompt_cache_key": "P"},
            Identity("S", "x-litellm-session-id", "", "openai-python"),
            id="openhands",
        ),
        pytest.param(LITELLM, {}, Identity(name="openai-python"), id="mini-swe-agent-aider"),
        pytest.param(
            {**LITELLM, "x-title": "Aider"}, {}, Identity(name="aider"), id="title-over-library"
        ),
        pytest.param(
            {"user-agent": "Cline/3.0.65"}, {"stream": True}, Identity(name="cline"), id="cline"
        ),
        pytest.param(
            {"x-weft-program": "P", "x-weft-parent": "Q", "x-weft-name": "n", "x-weft-stage": "s"},
            {"prompt_cache_key": "K"},
            Identity("P", "x-weft-program", "Q", "n", "s"),
            id="own",
        ),
        pytest.param(
            {**CLAUDE, "x-weft-program": "P", "x-claude-code-agent-id": "a"},
            {},
            Identity("P", "x-weft-program", "", "claude-code"),
            id="own-over-sub-agent",
        ),
        pytest.param(
            {"x-litellm-trace-id": "T", "x-any-session-id": "A", "session-id": "B"},
            {},
            Identity("T", "x-litellm-trace-id"),
            id="trace-first",
        ),
        pytest.param(
            {"x-session-id": "C", "session-id": "B", "x-any-session-id": "A"},
            {},
            Identity("A", "x-any-session-id"),
            id="order-of-headers",
        ),
        pytest.param(
            {}, {"litellm_session_id": "L"}, Identity("L", "litellm_session_id"), id="litellm-body"
        ),
        pytest.param(
            {},
            {"metadata": {"session_id": "M"}},
            Identity("M", "metadata.session_id"),
            id="metadata",
        ),
        pytest.param(
            {"baggage": "user.id=me, session.id=a%20b;p=1,x=y"},
            {},
            Identity("a b", "baggage"),
            id="baggage",
        ),
        *(
            pytest.param({name: "S"}, {}, Identity("S", name), id=name)
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
        ),
        pytest.param({"session_id": "S"}, {}, Identity("S", "session-id"), id="underscores"),
        pytest.param(
            {"x_session_id": "S"}, {}, Identity("S", "x-session-id"), id="more-underscores"
        ),
        pytest.param({}, {"session_id": "S"}, Identity("S", "session_id"), id="openrouter"),
        pytest.param(
            {"user-agent": "QwenCode/0.24.4 (linux; x64)"},
            {"metadata": {"sessionId": "S", "promptId": "P"}},
            Identity("S", "metadata.sessionId", "", "qwen-code"),
            id="qwen-code",
        ),
        pytest.param(
            {}, {"conversation": "conv_1"}, Identity("conv_1", "conversation"), id="conversation"
        ),
        pytest.param(
            {},
            {"conversation": {"id": "conv_1"}},
            Identity("conv_1", "conversation"),
            id="conversation-object",
        ),
        pytest.param(
            {"x-session-id": "S", "x-kilo-parent-session-id": "Q", "mcp-session-id": "T"},
            {},
            Identity("S", "x-session-id"),
            id="not-of-others",
        ),
        pytest.param(
            {"x-session-id": " ", "session-id": "undefined"},
            {"prompt_cache_key": None, "session_id": 17},
            Identity("17", "session_id"),
            id="what-stands-for-nothing-is-passed-over",
        ),
        pytest.param(
            {},
            {"user": "jo", "safety_identifier": "jo", "metadata": {"user_id": "jo"}},
            Identity(),
            id="people",
        ),
        pytest.param(
            {"x-stainless-retry-count": "2", "idempotency-key": "k"},
            {},
            Identity(resent=True, key="k"),
            id="resent",
        ),
        pytest.param({"user-agent": "curl/8.14"}, {}, Identity(name="curl"), id="other"),
    ],
)
def test_clients_are_recognised(
    headers: dict[str, str], body: dict[str, Any], expected: Identity
) -> None:
    assert identify(headers, body) == expected


def test_what_can_not_be_shown_is_replaced_and_stays_different() -> None:
    bad = ["a\nb", "a\rb", "x" * (LONGEST + 1), "y" * (LONGEST + 1), "\ud800", "a\x00"]
    ids = [identify({"x-weft-program": one}, {}).id for one in bad]
    assert len(set(ids)) == len(bad)
    assert all(one.isprintable() and len(one) <= LONGEST for one in ids)
    assert identify({"x-weft-program": "é" * LONGEST}, {}).id == "é" * LONGEST


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
