"""Responses and messages over engines that speak only chat completions, with clients' libraries."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import openai
import pytest

from live_service import BODIES, LiveService, answered, raw_engine, serving
from weft.service.config.api_key import hash_key

pytestmark = pytest.mark.loops("asyncio")

USAGE = {
    "prompt_tokens": 50,
    "completion_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
TOOL = {"name": "look", "description": "Looks.", "schema": {"type": "object", "properties": {}}}


class ChatOnly:
    """An engine that knows one endpoint, and answers with what it is given.

    Attributes:
        deltas: of the answer.
        finish: of the answer.
        bodies: that it was sent.
        missing: how it answers at other paths: status and body.
    """

    def __init__(self, *deltas: dict[str, Any], finish: str = "stop") -> None:
        self.deltas, self.finish = deltas, finish
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.missing: tuple[int, Any] = (404, {"detail": "Not Found"})
        self.status, self.said = 200, dict[str, Any]()
        self.broken = False
        self.done = True  # whether streams end with a mark

    async def __call__(self, sent: bytes, writer: asyncio.StreamWriter) -> None:
        head, _, raw = sent.partition(b"\r\n\r\n")
        self.paths.append(head.split()[1].decode())
        if self.paths[-1] != "/v1/chat/completions":
            status, said = self.missing
            writer.write(answered(status, json.dumps(said).encode()))
            return
        body = json.loads(raw)
        self.bodies.append(body)
        if self.status != 200:
            writer.write(answered(self.status, json.dumps(self.said).encode()))
        elif body.get("stream"):
            assert body["stream_options"] == {"include_usage": True}
            await self._stream(writer)
        else:
            writer.write(answered(200, json.dumps(self._whole()).encode()))

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        head = {"id": "c", "object": "chat.completion.chunk", "model": "m"}
        chunks = [{**head, "choices": [{"index": 0, "delta": d}]} for d in self.deltas]
        last = {"index": 0, "delta": {}, "finish_reason": self.finish}
        chunks += [{**head, "choices": [last]}, {**head, "choices": [], "usage": USAGE}]
        texts = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        texts += ["data: [DONE]\n\n"] * self.done
        if self.broken:
            texts = texts[: len(self.deltas)]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        whole = "".join(texts).encode()
        for at in range(0, len(whole), 29):  # cut anywhere
            part = whole[at : at + 29]
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
        if self.broken:
            writer.close()
        else:
            writer.write(b"0\r\n\r\n")

    def _whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for delta in self.deltas:
            for name in ("content", "reasoning_content", "refusal"):
                if name in delta:
                    message[name] = (message.get(name) or "") + delta[name]
            for call in delta.get("tool_calls", ()):
                calls = message.setdefault("tool_calls", [])
                if "id" in call:
                    calls.append({"type": "function", **call, "function": dict(call["function"])})
                else:
                    calls[-1]["function"]["arguments"] += call["function"]["arguments"]
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": USAGE}


def call(name: str = "look", index: int = 0) -> list[dict[str, Any]]:
    """The deltas of a call of a tool."""
    begun = {"name": name, "arguments": ""}
    parts = [{"index": index, "id": f"call_{index}", "type": "function", "function": begun}]
    parts += [{"index": index, "function": {"arguments": part}} for part in ('{"a', '": 1}')]
    return [{"tool_calls": [part]} for part in parts]


THOUGHT = [{"role": "assistant", "content": ""}, {"reasoning_content": "Hm"}]
THOUGHT += [{"reasoning_content": ", well."}, {"content": "Hel"}, {"content": "lo ü."}]


def claude(service: LiveService, key: str = "k") -> anthropic.AsyncAnthropic:
    base = f"http://127.0.0.1:{service.port}"
    return anthropic.AsyncAnthropic(base_url=base, api_key=key, max_retries=0)


def gpt(service: LiveService) -> openai.AsyncOpenAI:
    base = f"http://127.0.0.1:{service.port}/v1"
    return openai.AsyncOpenAI(base_url=base, api_key="k", max_retries=0)


ASKED: Any = {
    "model": "m",
    "max_tokens": 99,
    "system": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be brief."}],
    "stop_sequences": ["END"],
    "tools": [
        {"name": "look", "description": "Looks.", "input_schema": TOOL["schema"]},
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    "messages": [
        {"role": "user", "content": "See this."},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Let me look.", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": [
                        {"type": "text", "text": "a cat"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
                        },
                    ],
                },
                {"type": "tool_result", "tool_use_id": "t2", "content": "no", "is_error": True},
                {"type": "text", "text": "What is it?"},
            ],
        },
    ],
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CHATTED = [
    {"role": "system", "content": "Be kind.\n\nBe brief."},
    {"role": "user", "content": "See this."},
    {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "Let me look.",
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}},
            {"id": "t2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "t1", "content": "a cat"},
    {"role": "tool", "tool_call_id": "t2", "content": "Error: no"},
    {"role": "user", "content": [IMAGE, {"type": "text", "text": "What is it?"}]},
]
FUNCTION = {"name": "look", "parameters": TOOL["schema"], "description": "Looks."}


async def test_messages_are_told_in_chat_and_back() -> None:
    engine = ChatOnly(*THOUGHT, *call(), *call(index=1), finish="tool_calls")
    async with raw_engine(engine) as at, serving(at.url) as service, claude(service) as client:
        message = await client.messages.create(**ASKED)
        async with client.messages.stream(**ASKED) as stream:
            kinds = [event.type async for event in stream]
            streamed = await stream.get_final_message()
        for found in (message, streamed):
            content: Any = found.content
            thought, text, first, second = content
            assert thought.type == "thinking"
            assert thought.thinking == "Hm, well."
            assert text.type == "text"
            assert text.text == "Hello ü."
            assert first.type == second.type == "tool_use"
            assert (first.name, first.input, second.input) == ("look", {"a": 1}, {"a": 1})
            assert (first.id, second.id) == ("call_0", "call_1")
            assert found.stop_reason == "tool_use"
            usage = found.usage
            assert (usage.input_tokens, usage.cache_read_input_tokens) == (34, 16)
            assert usage.output_tokens == 7
            assert found.model == "m"
        assert kinds[0] == "message_start"
        assert kinds[-1] == "message_stop"
        for body in engine.bodies:
            assert body["messages"] == CHATTED
            assert body["tools"] == [{"type": "function", "function": FUNCTION}]
            assert body["tool_choice"] == "required"
            assert body["parallel_tool_calls"] is False
            assert (body["max_tokens"], body["stop"], body["model"]) == (99, ["END"], "m")
            assert "system" not in body
        # The endpoint is asked for once: what an engine lacks is remembered.
        assert engine.paths.count("/v1/messages") == 1
        for program in (await service.http.get("/v1/programs")).json()["data"]:
            assert (program["prompt"], program["generated"], program["errors"]) == (50, 7, 0)
            assert program["cached"] == 16


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")],
)
async def test_ends_of_messages(finish: str, reason: str) -> None:
    engine = ChatOnly({"content": "Hi"}, finish=finish)
    async with raw_engine(engine) as at, serving(at.url) as service:
        whole = (await service.post("/v1/messages")).json()
        assert whole["stop_reason"] == reason
        async with service.streaming("/v1/messages") as answer:
            assert f'"stop_reason":"{reason}"' in (await answer.aread()).decode()


INPUT: Any = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "input_text", "text": "See this."}]},
    {
        "type": "reasoning",
        "id": "r",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Let me look."}],
    },
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "I look."}],
    },
    {"type": "function_call", "call_id": "t1", "name": "look", "arguments": '{"a":1}'},
    {"type": "function_call", "call_id": "t2", "name": "look", "arguments": "{}"},
    {
        "type": "function_call_output",
        "call_id": "t1",
        "output": [
            {"type": "input_text", "text": "a cat"},
            {"type": "input_image", "image_url": IMAGE["image_url"]["url"]},
        ],
    },
    {"type": "function_call_output", "call_id": "t2", "output": "Error: no"},
    {"role": "user", "content": "What is it?"},
]
TOOLS: Any = [
    {"type": "function", "name": "look", "description": "Looks.", "parameters": TOOL["schema"]},
    {"type": "custom", "name": "patch", "description": "Patches."},
    {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "run"}]},
    {"type": "web_search"},
]


async def test_responses_are_told_in_chat_and_back() -> None:
    patch = [{"tool_calls": [{"index": 1, "id": "call_1", "function": {"name": "patch"}}]}]
    given = '{"input": "*** Begin"}'
    patch += [{"tool_calls": [{"index": 1, "function": {"arguments": part}}]} for part in given]
    patch[0]["tool_calls"][0]["function"] |= {"arguments": ""}
    engine = ChatOnly(*THOUGHT, *call(), *patch, *call("mcp__run", 2), finish="tool_calls")
    asked: Any = {"model": "m", "instructions": "Be kind.", "input": INPUT, "tools": TOOLS}
    asked |= {"max_output_tokens": 99, "reasoning": {"effort": "low"}, "store": False}
    async with raw_engine(engine) as at, serving(at.url) as service, gpt(service) as client:
        whole = await client.responses.create(**asked)
        async with client.responses.stream(**asked) as stream:
            events = [event async for event in stream]
            streamed = await stream.get_final_response()
        numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
        assert numbers == sorted(numbers)
        for found in (whole, streamed):
            output: Any = found.output
            thought, text, first, second, third = output
            assert thought.type == "reasoning"
            assert thought.content is not None
            assert thought.content[0].text == "Hm, well."
            assert text.type == "message"
            assert found.output_text == "Hello ü."
            assert first.type == "function_call"
            assert (first.name, first.arguments, first.call_id) == ("look", '{"a": 1}', "call_0")
            assert second.type == "custom_tool_call"
            assert (second.name, second.input) == ("patch", "*** Begin")
            assert third.type == "function_call"
            assert (third.name, third.model_dump()["namespace"]) == ("run", "mcp")
            assert found.status == "completed"
            assert found.usage is not None
            assert found.usage.input_tokens_details.cached_tokens == 16
            assert found.usage.output_tokens_details.reasoning_tokens == 3
            assert found.usage.total_tokens == 57
        body = engine.bodies[0]
        expected = [{"role": "system", "content": "Be kind.\n\nBe brief."}, *CHATTED[1:5]]
        expected += [
            {"role": "user", "content": [IMAGE]},
            {"role": "user", "content": "What is it?"},
        ]
        assert body["messages"] == expected
        names = [tool["function"]["name"] for tool in body["tools"]]
        assert names == ["look", "patch", "mcp__run"]
        assert (body["max_tokens"], body["reasoning_effort"]) == (99, "low")
        assert not {"input", "instructions", "store", "reasoning"} & body.keys()
        # What came back is taken as input again.
        again = [item.model_dump(exclude_none=True) for item in whole.output]
        results = [
            {"type": "function_call_output", "call_id": "call_0", "output": "a"},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "b"},
        ]
        await client.responses.create(model="m", input=[*INPUT, *again, *results])  # type: ignore[arg-type]
        told = engine.bodies[-1]["messages"]
        assert [m["role"] for m in told[-3:]] == ["assistant", "tool", "tool"]
        assert [c["function"]["name"] for c in told[-3]["tool_calls"]][-1] == "mcp__run"


FOUND = {
    "type": "namespace",
    "name": "mail",
    "description": "Mail.",
    "tools": [{"type": "function", "name": "send", "parameters": {"type": "object"}}],
}
SEARCH = {"type": "tool_search", "execution": "client", "description": "Finds tools."}


@pytest.mark.parametrize("streamed", [True, False])
async def test_tools_of_clients_that_are_no_functions_are_told_in_chat_and_back(
    streamed: bool,
) -> None:
    asks = {"local_shell": '{"command": "ls"}', "tool_search": '{"query": "mail"}'}
    asks["mail__send"] = "{}"
    engine = ChatOnly(
        *[
            {"tool_calls": [{"index": at, "id": f"c{at}", "function": {"name": n, "arguments": a}}]}
            for at, (n, a) in enumerate(asks.items())
        ],
        finish="tool_calls",
    )
    given: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "image_url", "image_url": IMAGE["image_url"]}]},
        {"type": "local_shell_call", "call_id": "a", "action": {"type": "exec", "command": ["x"]}},
        {"type": "local_shell_call_output", "id": "a", "output": "y"},
        {"type": "tool_search_call", "call_id": "b", "execution": "client", "arguments": {"q": 1}},
        {"type": "tool_search_output", "call_id": "b", "execution": "client", "tools": [FOUND]},
        {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {}},
        {"role": "user", "content": "Go on."},
    ]
    async with raw_engine(engine) as at, serving(at.url) as service:
        asked = {"tools": [{"type": "local_shell"}, SEARCH], "input": given, "stream": streamed}
        answer = await service.post("/v1/responses", None, **asked)
        text = answer.text
        if streamed:
            text = text.strip().split("\n\n")[-1].partition("data: ")[2]
        shell, search, send = json.loads(text).get("response", json.loads(text))["output"]
    assert (shell["type"], shell["call_id"]) == ("local_shell_call", "c0")
    assert shell["action"] == {"type": "exec", "command": ["bash", "-lc", "ls"], "env": {}}
    assert (search["type"], search["execution"]) == ("tool_search_call", "client")
    assert search["arguments"] == {"query": "mail"}
    assert (send["type"], send["namespace"], send["name"]) == ("function_call", "mail", "send")
    (body,) = engine.bodies
    assert [tool["function"]["name"] for tool in body["tools"]] == list(asks)
    image, shelled, result, searched, found, last = body["messages"]
    assert image["content"] == [IMAGE]
    assert shelled["tool_calls"][0]["function"]["arguments"] == '{"command":["x"]}'
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", "a", "y")
    assert searched["tool_calls"][0]["function"] == {"name": "tool_search", "arguments": '{"q":1}'}
    assert json.loads(found["content"]) == [{"name": "mail__send"}]
    assert last["content"] == "Go on."


async def test_formats_and_ends_of_responses() -> None:
    engine = ChatOnly({"content": "{}"}, finish="length")
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    async with raw_engine(engine) as at, serving(at.url) as service:
        whole = (await service.post("/v1/responses", text={"format": schema})).json()
        assert whole["status"] == "incomplete"
        assert whole["incomplete_details"] == {"reason": "max_output_tokens"}
        async with service.streaming("/v1/responses") as answer:
            assert "event: response.incomplete\n" in (await answer.aread()).decode()
        asked = engine.bodies[0]["response_format"]
        assert asked["json_schema"] == {"name": "n", "schema": {"type": "object"}, "strict": True}


BY_URL = {"type": "input_file", "file_url": "http://x/a.pdf"}


async def test_what_cannot_be_told_is_refused_in_one_sentence() -> None:
    async with raw_engine(ChatOnly({"content": "Hi"})) as at, serving(at.url) as service:
        image = {"type": "image", "source": {"type": "file", "file_id": "f"}}
        odd = {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}
        forced = {"tools": ASKED["tools"], "tool_choice": {"type": "tool", "name": "web_search"}}
        for fields, said in (
            ({"messages": [{"role": "user", "content": [image]}]}, "'file'"),
            ({"messages": [{"role": "assistant", "content": [odd]}]}, "'server_tool_use'"),
            (forced, "'web_search'"),
            ({"mcp_servers": [{"name": "x"}]}, "mcp_servers"),
        ):
            answer = await service.post("/v1/messages", None, **fields)
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"]["type"] == "invalid_request_error"
            assert said in answer.json()["error"]["message"]
        for fields, said in (
            ({"previous_response_id": "resp_x"}, "send the whole conversation"),
            ({"background": True}, "background"),
            ({"input": [{"type": "item_reference", "id": "i"}]}, "send the item itself"),
            ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
            ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "file"),
            ({"input": [{"type": "message", "role": "user", "content": [BY_URL]}]}, "its address"),
        ):
            answer = await service.post("/v1/responses", None, **fields)
            assert answer.status_code == 400, answer.text
            assert said in answer.json()["error"]["message"]
        code = (await service.post("/v1/responses", None, previous_response_id="x")).json()["error"]
        assert code["code"] == "previous_response_not_found"
        assert service.idle()


class Odd:
    """Answers chat completions with what is none, or is told otherwise."""

    def __init__(self, part: bytes, times: int = 1) -> None:
        self.part, self.times = part, times

    async def __call__(self, sent: bytes, writer: asyncio.StreamWriter) -> None:
        if not sent.startswith(b"POST /v1/chat/completions "):
            writer.write(answered(404, b"{}"))
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(self.times):
            writer.write(b"%x\r\n%b\r\n" % (len(self.part), self.part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")


async def test_a_stream_without_events_is_given_up_before_it_fills_the_memory() -> None:
    async with raw_engine(Odd(b"data: " + b"x" * 65536, 200)) as at, serving(at.url) as service:
        for path in ("/v1/messages", "/v1/responses"):
            answer = await service.post(path, None, stream=True)
            assert "an event has no end" in answer.text
        assert service.idle()


async def test_arguments_that_an_engine_gives_as_an_object_are_told_as_json() -> None:
    function = {"name": "look", "arguments": {"at": "é"}}
    delta = {"tool_calls": [{"index": 0, "id": "t", "function": function}]}
    chunk = json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
    engine = Odd(b"data: " + chunk + b"\n\ndata: [DONE]\n\n")
    async with raw_engine(engine) as at, serving(at.url) as service:
        for path in ("/v1/messages", "/v1/responses"):
            told = (await service.post(path, None, stream=True)).text
            assert r"{\"at\":\"é\"}" in told
            assert "error" not in told.replace('"error":null', "")


async def test_errors_of_the_engine_come_in_the_clients_form() -> None:
    engine = ChatOnly()
    engine.status = 400
    engine.said = {"error": {"message": "bad top_k", "type": "BadRequestError", "code": 400}}
    async with raw_engine(engine) as at, serving(at.url) as service, claude(service) as client:
        for _ in range(2):
            with pytest.raises(anthropic.BadRequestError, match="bad top_k"):
                await client.messages.create(**ASKED)
        answer = await service.post("/v1/responses")
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "bad top_k"
        engine.status, engine.deltas, engine.broken = 200, ({"content": "Hal"},) * 9, True
        for path in ("/v1/messages", "/v1/responses"):
            async with service.streaming(path) as answer:
                text = (await answer.aread()).decode()
                assert "broke" in text
                assert "error" in text


async def test_what_an_engine_lacks_is_told_from_what_a_request_lacks() -> None:
    for missing in (
        (405, {"detail": "Method Not Allowed"}),
        (501, {"error": {"message": "not implemented"}}),
        (404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}),
        (400, {"error": {"message": "The model does not support Messages API", "code": 400}}),
    ):
        engine = ChatOnly({"content": "Hi"})
        engine.missing = missing
        async with raw_engine(engine) as at, serving(at.url) as service:
            assert (await service.post("/v1/messages")).status_code == 200, missing
    engine.missing = (404, {"error": {"message": "The model `m` does not exist.", "code": 404}})
    async with raw_engine(engine) as at, serving(at.url) as service:
        answer = await service.post("/v1/messages")
        assert (answer.status_code, engine.paths[-1]) == (404, "/v1/messages")


async def test_salts_of_tenants_go_along() -> None:
    engine = ChatOnly({"content": "Hi"})
    key = "key-of-ann-0000000"
    tenants = [{"name": "ann", "keys": [hash_key(key)], "cache_salt": "grain"}]
    async with raw_engine(engine) as at, serving(at.url, tenants=tenants) as service:
        for path in ("/v1/messages", "/v1/responses"):
            answer = await service.post(path, {"x-api-key": key})
            assert answer.status_code == 200
            assert engine.bodies[-1]["cache_salt"] == "grain"


async def test_a_conversation_is_made_short_by_the_model_itself() -> None:
    engine = ChatOnly({"reasoning_content": "Hm"}, {"content": "All "}, {"content": "of it."})
    async with raw_engine(engine) as at, serving(at.url) as service, gpt(service) as client:
        compacted = await client.responses.compact(model="m", input=INPUT)
        assert compacted.object == "response.compaction"
        (short,) = compacted.output
        assert short.type == "compaction"
        assert compacted.usage.input_tokens == 50
        told = engine.bodies[-1]["messages"]
        assert told[1:5] == CHATTED[1:5]
        assert "summary" in told[-1]["content"]
        # The turn of Codex: exactly one item.
        turn = [*INPUT, {"type": "compaction_trigger"}]
        for streamed in (False, True):
            body = {"model": "m", "input": turn, "tools": TOOLS, "stream": streamed}
            answer = await service.http.post("/v1/responses", json=body)
            assert answer.status_code == 200, answer.text
            assert engine.bodies[-1]["tool_choice"] == "none"
            if not streamed:
                assert [item["type"] for item in answer.json()["output"]] == ["compaction"]
                continue
            events = [
                json.loads(line[6:]) for line in answer.text.splitlines() if line[:6] == "data: "
            ]
            done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
            assert [item["type"] for item in done] == ["compaction"]
            assert events[-1]["response"]["output"] == done
        # And on from there, wherever it is sent.
        goes_on: Any = [short.model_dump(), {"role": "user", "content": "Go on."}]
        await client.responses.create(model="m", input=goes_on)
        first, second = engine.bodies[-1]["messages"]
        assert first["role"] == "user"
        assert "All of it." in first["content"]
        assert second["content"] == "Go on."
        foreign = {"type": "compaction", "encrypted_content": "gAAAA"}
        answer = await service.post("/v1/responses", None, input=[foreign])
        assert answer.status_code == 400
        assert "compaction of another service" in answer.json()["error"]["message"]


async def test_engines_that_speak_for_themselves_get_what_was_sent() -> None:
    asked: list[bytes] = []

    async def reply(sent: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(sent)
        writer.write(answered(200, b'{"id": "x", "object": "response", "output": []}'))

    async with raw_engine(reply) as at, serving(at.url) as service:
        for path in ("/v1/messages", "/v1/responses"):
            assert (await service.post(path)).status_code == 200
            assert asked[-1].startswith(b"POST %b " % path.encode())
            assert json.loads(asked[-1].partition(b"\r\n\r\n")[2]) == BODIES[path]


def in_turns() -> list[dict[str, Any]]:
    """The deltas of two calls whose parts come by turns, and of one without arguments."""

    def part(index: int, arguments: str, name: str = "") -> dict[str, Any]:
        begun = {"id": f"call_{index}", "type": "function"} if name else {}
        function = {"arguments": arguments} | ({"name": name} if name else {})
        return {"tool_calls": [{"index": index, **begun, "function": function}]}

    return [
        part(0, "", "look"),
        part(1, "", "read"),
        part(0, '{"a"'),
        part(1, '{"b": '),
        part(0, ": 1}"),
        part(1, "2}"),
        part(2, "", "stop"),
    ]


CALLS = [("look", {"a": 1}), ("read", {"b": 2}), ("stop", {})]


async def test_calls_that_come_by_turns_are_told_one_after_the_other() -> None:
    engine = ChatOnly(*in_turns(), finish="tool_calls")
    async with raw_engine(engine) as raw, serving(raw.url) as service:
        async with claude(service) as client:
            asked: Any = {"model": "m", "max_tokens": 9, "messages": [ASKED["messages"][0]]}
            async with client.messages.stream(**asked) as stream:
                message = await stream.get_final_message()
        found = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
        assert found == CALLS
        assert message.stop_reason == "tool_use"
        async with gpt(service) as client:
            events = await client.responses.create(model="m", input="a", stream=True)
            last = [event async for event in events][-1]
            assert last.type == "response.completed"
            output = [item for item in last.response.output if item.type == "function_call"]
            assert [(item.name, json.loads(item.arguments)) for item in output] == CALLS


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_told_as_one(stream: bool) -> None:
    engine = ChatOnly({"content": "Well."}, {"refusal": "I will"}, {"refusal": " not."})
    async with raw_engine(engine) as raw, serving(raw.url) as service:
        answer = await service.post("/v1/messages", stream=stream)
        assert '"stop_reason":"refusal"' in answer.text
        assert "I will" in answer.text
        answer = await service.post("/v1/responses", stream=stream)
        refusal = {"type": "refusal", "refusal": "I will not."}
        assert json.dumps(refusal, separators=(",", ":")) in answer.text
        assert '"text":"Well."' in answer.text
        if stream:
            assert answer.text.count("event: response.refusal.delta") == 2
            assert answer.text.count("event: response.refusal.done") == 1


async def test_a_stream_may_end_without_a_mark_if_it_says_why() -> None:
    engine = ChatOnly({"content": "Hello."}, finish="length")
    engine.done = False
    async with raw_engine(engine) as raw, serving(raw.url) as service:
        answer = await service.post("/v1/messages", stream=True)
        assert '"stop_reason":"max_tokens"' in answer.text
        assert answer.text.endswith('data: {"type":"message_stop"}\n\n')
        (program,) = service.inside.registry.programs.values()
        assert [call.outcome for call in program.calls] == ["done"]
