"""Thinking over engines that speak only chat: it comes back with later turns, whatever is kept."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import openai
import pytest

from live_service import LiveService, answered, raw_engine, serving
from weft.service.protocols.sealed import opened, sealed

pytestmark = pytest.mark.loops("asyncio")

THOUGHT, SAID = "Let me see:\nü and 😀.", "Hello."
DELTAS = [{"reasoning_content": THOUGHT[:4]}, {"reasoning_content": THOUGHT[4:]}, {"content": SAID}]
STREAM = b"".join(
    b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
    for delta in DELTAS
)
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
MESSAGE = {"role": "assistant", "content": SAID, "reasoning_content": THOUGHT}
WHOLE = {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}], "usage": {}}


class ChatOnly:
    """Thinks, answers, and remembers what it was told."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, asked: bytes, writer: asyncio.StreamWriter) -> None:
        head, _, raw = asked.partition(b"\r\n\r\n")
        if not head.startswith(b"POST /v1/chat/completions "):
            writer.write(answered(404, b'{"detail":"Not Found"}'))
            return
        self.bodies.append(json.loads(raw))
        if self.bodies[-1].get("stream"):
            writer.write(answered(200, STREAM + END, "text/event-stream"))
        else:
            writer.write(answered(200, json.dumps(WHOLE).encode()))

    def thought(self) -> list[Any]:
        """The thinking of the model's messages that it was told last."""
        messages = self.bodies[-1]["messages"]
        return [m.get("reasoning_content") for m in messages if m["role"] == "assistant"]


def claude(service: LiveService) -> anthropic.AsyncAnthropic:
    base = f"http://127.0.0.1:{service.port}"
    return anthropic.AsyncAnthropic(base_url=base, api_key="k", max_retries=0)


async def message(client: Any, stream: bool, **fields: Any) -> Any:
    asked: Any = {"model": "m", "max_tokens": 99, **fields}
    if not stream:
        return await client.messages.create(**asked)
    async with client.messages.stream(**asked) as events:
        return await events.get_final_message()


@pytest.mark.parametrize("stream", [True, False])
async def test_anthropic_clients_get_signed_thinking_and_give_it_back(stream: bool) -> None:
    engine = ChatOnly()
    async with raw_engine(engine) as at, serving(at.url) as service, claude(service) as client:
        first: Any = [{"role": "user", "content": "Hi"}]
        found = await message(client, stream, messages=first)
        thought, text = found.content
        assert (thought.thinking, text.text) == (THOUGHT, SAID)
        assert thought.signature
        hidden = {"type": "redacted_thinking", "data": "of another service"}
        turns = [*first, {"role": "assistant", "content": [hidden, thought, text]}]
        turns.append({"role": "user", "content": "And now?"})
        again = await message(client, stream, messages=turns)
        assert engine.thought() == [THOUGHT]
        # Thinking of another service can be read though its signature can't.
        block = {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCkYIBRgC"}
        turns += [{"role": "assistant", "content": [block, *again.content[1:]]}, turns[0]]
        await message(client, stream, messages=turns)
        assert engine.thought() == [THOUGHT, "Hm."]


@pytest.mark.parametrize("stream", [True, False])
async def test_thinking_that_is_not_to_be_shown_is_kept_in_the_signature(stream: bool) -> None:
    engine = ChatOnly()
    wish = {"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}}
    async with raw_engine(engine) as at, serving(at.url) as service, claude(service) as client:
        first: Any = [{"role": "user", "content": "Hi"}]
        found = await message(client, stream, messages=first, extra_body=wish)
        thought, text = found.content
        assert (thought.thinking, text.text) == ("", SAID)
        turns = [*first, {"role": "assistant", "content": [thought, text]}, first[0]]
        await message(client, stream, messages=turns)
        assert engine.thought() == [THOUGHT]


@pytest.mark.parametrize("stream", [True, False])
async def test_codex_keeps_thinking_in_a_field_that_it_can_not_read(stream: bool) -> None:
    engine = ChatOnly()
    async with raw_engine(engine) as at, serving(at.url) as service:
        base = f"http://127.0.0.1:{service.port}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="k", max_retries=0) as client:

            async def response(given: Any, **fields: Any) -> Any:
                asked: Any = {"model": "m", "input": given, "store": False, **fields}
                if not stream:
                    return await client.responses.create(**asked)
                async with client.responses.stream(**asked) as events:
                    return await events.get_final_response()

            include: Any = ["reasoning.encrypted_content"]
            found = await response("Hi", include=include)
            thought, text = found.output
            assert thought.content[0].text == THOUGHT
            kept = {"type": "reasoning", "summary": [], "encrypted_content": None}
            kept["encrypted_content"] = thought.encrypted_content
            turn: Any = [{"role": "user", "content": "Hi"}, kept, text.model_dump()]
            await response([*turn, {"role": "user", "content": "And now?"}], include=include)
            assert engine.thought() == [THOUGHT]
            assert (await response("Hi")).output[0].encrypted_content is None
            # That of another service says nothing.
            kept["encrypted_content"] = "gAAAA"
            await response([*turn, {"role": "user", "content": "And now?"}])
            assert engine.thought() == [None]


async def test_an_engine_that_speaks_responses_reads_it_too() -> None:
    """As where engines of both kinds serve a model."""
    bodies: list[dict[str, Any]] = []
    done = {"id": "r", "object": "response", "status": "completed", "output": [], "usage": {}}

    async def reply(asked: bytes, writer: asyncio.StreamWriter) -> None:
        bodies.append(json.loads(asked.partition(b"\r\n\r\n")[2]))
        writer.write(answered(200, json.dumps(done).encode()))

    item = {"type": "reasoning", "id": "rs", "summary": []}
    foreign = {**item, "encrypted_content": "gAAAA"}
    async with raw_engine(reply) as at, serving(at.url) as service:
        given = [{"role": "user", "content": "Hi"}, foreign]
        given.append({**item, "encrypted_content": sealed(THOUGHT)})
        await service.post("/v1/responses", input=given)
    told = {**item, "content": [{"type": "reasoning_text", "text": THOUGHT}]}
    assert bodies[0]["input"][1:] == [foreign, told]


@pytest.mark.parametrize("value", [None, 1, "", "weft1", "weft1:?", "weft1:gAAA", "gAAAA"])
def test_what_weft_did_not_seal_is_not_opened(value: object) -> None:
    assert opened(value) is None


async def test_what_chat_can_not_say_is_told_in_one_sentence() -> None:
    engine = ChatOnly()
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    odd = [{"role": "assistant", "content": [block]}, {"role": "user", "content": "Hi"}]
    async with raw_engine(engine) as at, serving(at.url) as service:
        error = (await service.post("/v1/messages", messages=odd)).json()["error"]
        assert error["message"] == (
            "the engine speaks only chat completions, and messages[0] has a block of the type "
            "'server_tool_use', which those don't have"
        )
    assert engine.bodies == []
