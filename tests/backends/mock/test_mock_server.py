"""What only the mock server does: faults by script, and telling what came."""

from __future__ import annotations

import itertools
import json
import socket
from collections import Counter
from collections.abc import Iterator

import anyio
import httpx
import pytest

from waiting import PATIENCE
from weft.backends.mock import server as mock
from weft.backends.scripted import script
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.faults import Faults
from weft.backends.scripted.requests import KEPT, ScriptRequest
from weft.backends.scripted.script import Scripted, ToolCall
from weft.backends.scripted.vocabulary import CHARACTERS
from weft.errors import EngineBusy, EngineUnavailable, RequestFailed
from weft.types import Delta, Message, Request

TEXT = "What a fine day it is."


def answer(request: Request) -> Scripted:
    assert isinstance(request, ScriptRequest)
    last = request.messages[-1].content
    faults = {
        "cut": Scripted(TEXT, dies_after=6),
        "lost": Scripted(TEXT, dies_after=0),
        "junk": Scripted(TEXT, garbage=b"\xff\x00 <html>", dies_after=3),
        "short": Scripted(TEXT, garbage=b"", dies_after=3),
        "endless": Scripted("ab", endless=True),
        "slow": Scripted(TEXT, seconds=0.01),
        "refuse": Scripted(refuses="not that"),
        "call": Scripted(
            "Let me see.", tools=[ToolCall(name, {"x": 1}) for name in offered(request)]
        ),
    }
    return faults.get(last, Scripted(TEXT))


def offered(request: ScriptRequest) -> list[str]:
    return list(request.http.tools)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(answer, model="m", context=2000, block_size=4)


@pytest.fixture
def http(engine: ScriptedEngine) -> Iterator[httpx.Client]:
    with mock.running(engine) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        yield client


PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]


def body(path: str, text: str, **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": text}]
    forms: dict[str, dict[str, object]] = {
        "/v1/chat/completions": {"messages": messages},
        "/v1/completions": {"prompt": text},
        "/v1/responses": {"input": text},
        "/v1/messages": {"messages": messages, "max_tokens": 500},
    }
    return {"model": "m", **forms[path], **more}


@pytest.mark.parametrize("path", PATHS)
def test_faults_by_share(path: str) -> None:
    faults = Faults({"500": 0.25, "429": 0.25, "cut": 0.25}, retry_after=2)
    got = Counter[object]()
    engine = ScriptedEngine(faults.over(TEXT), model="m", context=2000)
    with mock.running(engine) as url, httpx.Client(base_url=url, timeout=PATIENCE) as http:
        for _ in range(200):
            answer = http.post(path, json=body(path, "x"))
            got[answer.status_code, "died" in answer.text] += 1
            assert answer.headers.get("retry-after") == ("2" if answer.status_code == 429 else None)
    assert set(got) == {(200, False), (500, False), (500, True), (429, False)}
    assert all(25 < count < 75 for count in got.values())


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("500", RequestFailed),
        ("503", EngineBusy),
        ("429", EngineBusy),
        ("cut", EngineUnavailable),
        ("silence", TimeoutError),
    ],
)
@pytest.mark.loops("virtual")
async def test_faults_without_http(kind: str, error: type[Exception]) -> None:
    engine = ScriptedEngine(Faults({kind: 1.0}).over(TEXT), takes_tokens=False)
    await engine.connect()
    with pytest.raises(error) as raised, anyio.fail_after(3600):
        await engine.complete(Request("r", "m", (Message("user", "x"),)), lambda _: None)
    if error is EngineBusy:
        assert getattr(raised.value, "retry_after", None) == 1


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_cut_off(http: httpx.Client, path: str) -> None:
    got: list[bytes] = []
    with http.stream("POST", path, json=body(path, "cut", stream=True)) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(answer.iter_bytes())
    assert b'"a"' in b"".join(got)
    assert b'"f"' not in b"".join(got)
    assert b"completed" not in b"".join(got)
    assert b"DONE" not in b"".join(got)
    assert http.post(path, json=body(path, "cut")).status_code == 500
    assert http.post(path, json=body(path, "lost", stream=True)).status_code == 500


@pytest.mark.parametrize("path", PATHS)
def test_junk_in_a_stream_that_ends_well(http: httpx.Client, path: str) -> None:
    answer = http.post(path, json=body(path, "junk", stream=True))
    assert answer.status_code == 200
    assert answer.content.endswith(b"\n\n\xff\x00 <html>")
    assert http.post(path, json=body(path, "junk")).content == b"\xff\x00 <html>"
    short = http.post(path, json=body(path, "short", stream=True)).content
    assert answer.content.count(b"data:") == short.count(b"data:") > 0
    assert b"DONE" not in short
    assert b"message_stop" not in short


@pytest.mark.parametrize("path", PATHS)
def test_an_endless_stream_ends_when_its_client_leaves(
    engine: ScriptedEngine, http: httpx.Client, path: str
) -> None:
    with http.stream("POST", path, json=body(path, "endless", stream=True, max_tokens=5)) as answer:
        lines = answer.iter_lines()  # held, for it closes the stream when it is collected
        assert sum(line.startswith("data:") for line in itertools.islice(lines, 200)) > 50
        assert engine.running == 1
    assert http.post(path, json=body(path, "hello")).status_code == 200
    while engine.running:  # the test's time limit is the bound
        http.get("/health")
    assert engine.cancelled == 1


def test_headers_come_before_the_first_token(http: httpx.Client) -> None:
    path = PATHS[0]
    with http.stream("POST", path, json=body(path, "slow", stream=True)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert b"DONE" in answer.read()


@pytest.mark.parametrize("path", PATHS)
def test_errors_in_the_form_of_the_endpoint(http: httpx.Client, path: str) -> None:
    too_long = "x" * 3000
    refused = [
        (404, body(path, "hello", model="other"), "`other` does not exist"),
        (400, body(path, "refuse", stream=True), "not that"),
        (400, body(path, too_long), "maximum context length is 2000"),
        (400, body(path, "hello", max_tokens=-1), "max_tokens must be"),
        (400, body(path, "hello", cache_salt=""), "cache_salt must be"),
        (400, {"model": "m"}, "must be"),
    ]
    for status, sent, words in refused:
        answer = http.post(path, json=sent)
        assert answer.status_code == status
        told = answer.json()
        assert words in told["error"]["message"]
        if path == "/v1/messages":
            assert told["type"] == "error"
        else:
            assert told["error"]["code"] == status
    for raw in (b"", b"{", b"[]", b"\xff", b"[" * 100_000):
        answer = http.post(path, content=raw)
        assert answer.status_code == 400
        assert "JSON object" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"messages": [{"role": "wizard", "content": "hello"}]},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "user", "content": "x"}], "temperature": "hot"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_wrong_types(http: httpx.Client, path: str, wrong: dict[str, object]) -> None:
    assert http.post(path, json={"model": "m", "max_tokens": 9, **wrong}).status_code == 400


TOOLS: dict[str, list[dict[str, object]]] = {
    "/v1/chat/completions": [{"type": "function", "function": {"name": "look"}}],
    "/v1/messages": [{"name": "look", "input_schema": {}}],
    "/v1/responses": [
        {"type": "function", "name": "look"},
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "web", "tools": [{"type": "function", "name": "open"}]},
        {"type": "web_search"},
    ],
}


@pytest.mark.parametrize("path", sorted(TOOLS))
def test_the_script_sees_the_tools_on_offer(
    engine: ScriptedEngine, http: httpx.Client, path: str
) -> None:
    http.post(path, json=body(path, "call", tools=TOOLS[path]), headers={"X-Session-Id": "s"})
    seen = engine.received[-1]
    names = ["look", "patch", "web__open", "web_search"]
    assert list(seen.tools) == (names if path == "/v1/responses" else ["look"])
    assert (seen.method, seen.path, seen.query) == ("POST", path, "")
    assert seen.headers["x-session-id"] == "s"
    assert json.loads(seen.raw) == seen.body == body(path, "call", tools=TOOLS[path])


def test_items_of_each_kind_of_tool(http: httpx.Client) -> None:
    path = "/v1/responses"
    answer = http.post(path, json=body(path, "call", tools=TOOLS[path])).json()
    found = [(item["type"], item.get("name"), item.get("namespace")) for item in answer["output"]]
    assert found == [
        ("message", None, None),
        ("function_call", "look", None),
        ("custom_tool_call", "patch", None),
        ("function_call", "open", "web"),
        ("function_call", "web_search", None),
    ]
    assert answer["output"][2]["input"] == '{"x": 1}'
    streamed = http.post(path, json=body(path, "call", tools=TOOLS[path], stream=True)).text
    events = [json.loads(line[5:]) for line in streamed.splitlines() if line.startswith("data:")]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    last = events[-1]["response"]["output"]
    assert [(item["type"], item.get("name"), item.get("namespace")) for item in last] == found


def test_a_call_that_was_sent_back_is_found_in_the_cache(http: httpx.Client) -> None:
    path = "/v1/messages"
    sent = body(path, "call", tools=TOOLS[path])
    first = http.post(path, json=sent).json()
    result = {"type": "tool_result", "tool_use_id": "t", "content": "nothing there"}
    assert isinstance(sent["messages"], list)
    sent["messages"] += [
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [result]},
    ]
    usage = http.post(path, json=sent).json()["usage"]
    before = first["usage"]["input_tokens"] + first["usage"]["output_tokens"]
    assert before - 8 < usage["cache_read_input_tokens"] <= before
    salted = http.post(path, json=sent | {"cache_salt": "mine"}).json()["usage"]
    assert salted["cache_read_input_tokens"] == 0


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/responses"])
def test_the_whole_conversation_is_seen(
    engine: ScriptedEngine, http: httpx.Client, path: str
) -> None:
    call = {"city": "Oslo"}
    function = {"name": "look", "arguments": json.dumps(call)}
    sent: dict[str, dict[str, object]] = {
        "/v1/chat/completions": {
            "messages": [
                {"role": "developer", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "1", "type": "function", "function": function}],
                },
                {"role": "tool", "tool_call_id": "1", "content": "rain"},
            ]
        },
        "/v1/responses": {
            "instructions": "be kind",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "reasoning", "summary": []},
                {"type": "function_call", "call_id": "1", **function},
                {"type": "function_call_output", "call_id": "1", "output": "rain"},
            ],
        },
        "/v1/messages": {
            "max_tokens": 10,
            "system": [
                {"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=2;"},
                {"type": "text", "text": "be kind"},
            ],
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "1", "name": "look", "input": call}],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "1",
                            "content": [{"type": "text", "text": "rain"}],
                        }
                    ],
                },
            ],
        },
    }
    assert http.post(path, json={"model": "m", **sent[path]}).status_code == 200
    seen = [(message.role, message.content) for message in engine.requests[-1].messages]
    written = script.written("", [ToolCall("look", call)])
    assert seen == [("system", "be kind"), ("user", "hi"), ("assistant", written), ("tool", "rain")]
    assert script.said(written) == ("", [ToolCall("look", json.dumps(call))])


async def test_only_the_latest_requests_are_kept() -> None:
    engine = ScriptedEngine("x")
    await engine.connect()
    for at in range(2001):
        await engine.complete(Request(str(at), "m", (Message("user", "hello"),)), ignore)
    assert [engine.requests[0].id, engine.requests[-1].id] == ["1000", "2000"]
    assert engine.received.maxlen == KEPT


def ignore(_: Delta) -> None:
    pass


def test_tokens_there_and_back(http: httpx.Client) -> None:
    tokens = http.post("/tokenize", json={"prompt": TEXT}).json()["tokens"]
    assert tokens == list(CHARACTERS.encode(TEXT))
    assert http.post("/detokenize", json={"tokens": tokens}).json() == {"prompt": TEXT}
    for wrong in ([-1], [1.5], "x", None):
        assert http.post("/detokenize", json={"tokens": wrong}).status_code == 400


def test_a_port_is_left_free() -> None:
    with mock.running(ScriptedEngine("x")) as url:
        port = int(url.rpartition(":")[2])
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
