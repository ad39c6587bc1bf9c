"""A dummy upstream for benchmarks of gateways: answers as vLLM would, as cheaply as Python can.

    python benchmarks/upstream.py PORT [CORE]

Every chat completion is `ANSWER`, whole or as `CHUNKS` events, `PACE` ms apart; a request's
`seed` gives other milliseconds. Nothing is computed, so prompts cost it nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys

try:
    from uvloop import run
except ImportError:
    from asyncio import run

MODEL = "dummy"
CHUNKS = 50
WORD = " abc"
ANSWER = WORD * CHUNKS
PACE = 2  # ms

USAGE = {
    "prompt_tokens": 500,
    "completion_tokens": CHUNKS,
    "total_tokens": 500 + CHUNKS,
    "prompt_tokens_details": {"cached_tokens": 480},
}
STREAMED = re.compile(rb'"stream": ?true')
SEED = re.compile(rb'"seed": ?(\d+)')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
METRICS = """\
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",num_gpu_blocks="65537",engine="0"} 1.0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="dummy"} 0.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="dummy"} 0.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="dummy"} 0.1
# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{engine="0",model_name="dummy"} 0.0
# TYPE vllm:prefix_cache_hits counter
vllm:prefix_cache_hits_total{engine="0",model_name="dummy"} 0.0
"""


def answer(body: str, kind: str = "application/json") -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def whole() -> bytes:
    message = {"role": "assistant", "content": ANSWER}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "length"}
    named = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
    return answer(json.dumps({**named, "choices": [choice], "usage": USAGE}))


def events() -> list[bytes]:
    """What is written of a stream, one after the other; the head goes with the first."""
    named = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    found: list[bytes] = []
    for i in range(CHUNKS):
        delta = {"content": WORD} if i else {"role": "assistant", "content": WORD}
        end = "length" if i == CHUNKS - 1 else None
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}
        text = f"data: {json.dumps({**named, 'choices': [choice]})}\n\n"
        if end:
            text += f"data: {json.dumps({**named, 'choices': [], 'usage': USAGE})}\n\n"
            text += "data: [DONE]\n\n"
        found.append(f"{len(text):x}\r\n{text}\r\n".encode())
    found[0] = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        b"transfer-encoding: chunked\r\n\r\n" + found[0]
    )
    found[-1] += b"0\r\n\r\n"
    return found


CARD = {"id": MODEL, "object": "model", "created": 1, "owned_by": "vllm", "root": MODEL}
CHAT = b"POST /v1/chat/completions "
ANSWERS = {
    CHAT: whole(),
    b"POST /v1/chat/completions/render ": answer('{"token_ids": [1, 2, 3]}'),
    b"POST /tokenize ": answer('{"count": 3, "max_model_len": 131072, "tokens": [1, 2, 3]}'),
    b"GET /v1/models ": answer(
        json.dumps({"object": "list", "data": [{**CARD, "max_model_len": 131072}]})
    ),
    b"GET /metrics ": answer(METRICS, "text/plain; version=0.0.4"),
    b"GET /version ": answer('{"version": "0.32.0"}'),
    b"GET /health ": answer(""),
}
EVENTS = events()
UNKNOWN = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.rest = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest = data = self.rest + data if self.rest else data
        at = data.find(b"\r\n\r\n")
        if at < 0:
            return
        found = LENGTH.search(data, 0, at)
        if found:
            end = at + 4 + int(found[1])
        elif b"chunked" in data[:at]:
            if not data.endswith(b"0\r\n\r\n"):
                return
            end = len(data)
        else:
            end = at + 4
        if len(data) < end:
            return
        self.rest = data[end:]
        asked = data[: data.find(b" ", data.find(b" ") + 1) + 1]
        if asked == CHAT and STREAMED.search(data, at):
            seed = SEED.search(data, at)
            self.event(0, (int(seed[1]) if seed else PACE) / 1e3)
        else:
            self.transport.write(ANSWERS.get(asked, UNKNOWN))

    def event(self, index: int, pace: float) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(EVENTS[index])
        if index + 1 < CHUNKS:
            asyncio.get_running_loop().call_later(pace, self.event, index + 1, pace)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        os.sched_setaffinity(0, {int(sys.argv[2])})
    run(main())
