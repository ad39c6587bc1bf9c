"""Which program each request belongs to, told through `weft serve` as real clients tell it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from service_process import serving
from waiting import PATIENCE
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    engine = ScriptedEngine(lambda request: f"{len(request.messages)} messages", model="m")
    log = tmp_path_factory.mktemp("service") / "log.txt"
    with mock.running(engine) as address, serving(log, "--engine", address) as ours:
        yield ours


def program(url: str, id: str) -> dict[str, Any]:
    answer = httpx.get(f"{url}/v1/programs/{id}", timeout=PATIENCE)
    assert answer.status_code == 200
    return answer.json()


def ask(url: str, headers: dict[str, str], path: str = "responses", **body: Any) -> httpx.Response:
    """One request, as a client of this protocol sends it."""
    said = [{"role": "user", "content": "hi"}]
    bodies: dict[str, dict[str, Any]] = {
        "responses": {"input": said},
        "chat/completions": {"messages": said},
        "messages": {"messages": said, "max_tokens": 100},
    }
    sent = {"model": "m", **bodies[path], **body}
    answer = httpx.post(f"{url}/v1/{path}", timeout=PATIENCE, headers=headers, json=sent)
    assert answer.status_code == 200, answer.text
    return answer


def test_codex_and_its_sub_agent(url: str) -> None:
    agent = {"user-agent": "codex_exec/0.169.0 (Linux)", "session-id": "cx", "thread-id": "cx"}
    child = agent | {"thread-id": "cx-child", "x-codex-parent-thread-id": "cx"}
    ask(url, agent, prompt_cache_key="cx")
    ask(url, child, prompt_cache_key="cx")
    ask(url, child, prompt_cache_key="cx")
    parent, sub = program(url, "cx"), program(url, "cx-child")
    assert (parent["calls"], parent["parent"], parent["name"]) == (1, "", "codex")
    assert (sub["calls"], sub["parent"], sub["name"]) == (2, "cx", "codex")


def test_claude_code_and_its_sub_agent(url: str) -> None:
    agent = {"user-agent": "claude-cli/2.1.197 (external, cli)", "x-claude-code-session-id": "cc"}
    metadata = {"user_id": json.dumps({"session_id": "cc", "account_uuid": ""})}
    ask(url, agent, "messages", metadata=metadata)
    ask(url, agent | {"x-claude-code-agent-id": "a1"}, "messages", metadata=metadata)
    assert program(url, "cc")["name"] == "claude-code"
    listed = httpx.get(f"{url}/v1/programs", timeout=PATIENCE).json()["data"]
    (sub,) = (one for one in listed if one["parent"] == "cc")
    assert sub["calls"] == 1
    assert program(url, "cc")["calls"] == 1


def test_opencode_and_its_sub_agent(url: str) -> None:
    agent = {"user-agent": "opencode/1.18.33", "x-session-id": "oc", "x-session-affinity": "oc"}
    child = {
        "user-agent": "opencode/1.18.33",
        "x-session-id": "oc-child",
        "x-session-affinity": "oc-child",
        "x-parent-session-id": "oc",
    }
    ask(url, agent, "chat/completions")
    ask(url, child, "chat/completions")
    assert program(url, "oc")["parent"] == ""
    assert program(url, "oc-child")["parent"] == "oc"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-weft-program": "P", "session-id": "other"}, {}),
        ({"x-litellm-session-id": "P"}, {}),
        ({}, {"prompt_cache_key": "P"}),
        ({}, {"metadata": {"session_id": "P"}}),
        ({"baggage": "a=b,session.id=P"}, {}),
    ],
)
def test_other_ways_to_name_a_program(
    url: str, headers: dict[str, str], body: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = f"named-{request.node.callspec.indices['headers']}"
    text = json.dumps([headers, body]).replace("P", name)
    headers, body = json.loads(text)
    ask(url, headers, "chat/completions", **body)
    assert program(url, name)["calls"] == 1


def test_a_conversation_is_recognised_by_its_growth(url: str) -> None:
    def known() -> dict[str, int]:
        listed = httpx.get(f"{url}/v1/programs", timeout=PATIENCE).json()["data"]
        return {one["id"]: one["calls"] for one in listed}

    before = known()
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client:
        for task in ("count the files", "count the lines"):
            messages: Any = [{"role": "user", "content": task}]
            for turn in range(3):
                got = client.chat.completions.create(model="m", messages=messages)
                messages.append({"role": "assistant", "content": got.choices[0].message.content})
                messages.append({"role": "user", "content": f"and then {turn}?"})
    new = {id: calls for id, calls in known().items() if id not in before}
    assert sorted(new.values()) == [3, 3]


def test_the_same_of_anthropic(url: str) -> None:
    with anthropic.Anthropic(base_url=url, api_key="k") as client:
        messages: Any = [{"role": "user", "content": "of anthropic"}]
        ids: set[str] = set()
        for _ in range(3):
            got = client.messages.with_raw_response.create(
                model="m", max_tokens=50, messages=messages
            )
            ids.add(got.headers["x-weft-program"])
            block: Any = got.parse().content[0]
            messages.append({"role": "assistant", "content": block.text})
            messages.append({"role": "user", "content": "go on"})
    assert len(ids) == 1
    assert program(url, ids.pop())["calls"] == 3
