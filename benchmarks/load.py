"""A load generator for benchmarks of gateways: chat completions over kept-alive connections."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from upstream import ANSWER, CHUNKS, MODEL, WORD

KEY = "sk-Zq3vT9xLw7Rb5Kd2Nf8Hj4Pm6Ys1Gc0A"
"""The clients'; of those gateways that want one."""
TURNS = 8
"""Of a conversation that grows."""
NONCE = "{:012d}"
MARK = "#nonce-here#"
COUNTER = itertools.count()
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Source = Iterator[bytes]


def request(size: int, turn: int = 0, stream: bool = False, pace: int = 0) -> tuple[bytes, bytes]:
    """What comes before and after a nonce in a request whose body has about `size` bytes.

    The nonce begins the first message, so conversations have nothing in common.
    """
    body = {"model": MODEL, "max_tokens": CHUNKS, "temperature": 0}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if pace:
        body["seed"] = pace
    first = max(16, size // 3) if turn else max(16, size - 260)
    messages = [
        {"role": "system", "content": MARK + filler(first // 2)},
        {"role": "user", "content": filler(first - first // 2)},
    ]
    for _ in range(turn):
        messages += [{"role": "assistant", "content": ANSWER}, {"role": "user", "content": ""}]
    left = size - len(json.dumps(body | {"messages": messages}, separators=(",", ":")))
    for message in messages[3::2]:
        message["content"] = filler(max(1, left // turn))
    text = json.dumps(body | {"messages": messages}, separators=(",", ":"))
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    )
    before, _, after = (head + text).partition(MARK)
    return before.encode(), after.encode()


def filler(size: int) -> str:
    """Text of `size` characters."""
    return ("the quick brown fox jumps over the lazy dog, " * (size // 40 + 1))[:size]


def unrelated(size: int, stream: bool = False, pace: int = 0) -> Source:
    """Requests that have nothing in common."""
    before, after = request(size, stream=stream, pace=pace)
    for number in COUNTER:
        yield before + NONCE.format(number).encode() + after


def growing(size: int, stream: bool = False) -> Source:
    """Conversations, one after the other, that grow from half of `size` to one and a half."""
    steps = [growth(size, turn, stream) for turn in range(TURNS)]
    for number in COUNTER:
        nonce = NONCE.format(number).encode()
        for before, after in steps:
            yield before + nonce + after


def growth(size: int, turn: int, stream: bool) -> tuple[bytes, bytes]:
    """The request of one turn: that of the last turn with all later messages cut off."""
    before, after = request(size * 3 // 2, TURNS - 1, stream)
    body = json.loads((before + MARK.encode() + after).partition(b"\r\n\r\n")[2])
    body["messages"] = body["messages"][: 2 + 2 * turn]
    text = json.dumps(body, separators=(",", ":"))
    head = before.partition(b"content-length")[0].decode()
    whole = f"{head}content-length: {len(text)}\r\n\r\n{text}"
    before_nonce, _, after_nonce = whole.partition(MARK)
    return before_nonce.encode(), after_nonce.encode()


class Connection(asyncio.Protocol):
    """One connection; `ask` sends a request and waits for the whole answer."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.waiting: asyncio.Future[bytes] | None = None
        self.need = -1  # bytes of the answer; -1: not known yet, -2: until the last chunk
        self.size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parts.append(data)
        self.size += len(data)
        if self.need == -1:
            head = b"".join(self.parts)
            at = head.find(b"\r\n\r\n")
            if at < 0:
                return
            found = LENGTH.search(head, 0, at)
            self.need = at + 4 + int(found[1]) if found else -2
        if self.need == -2:
            last = data if len(data) >= 5 else b"".join(self.parts[-5:])
            done = last.endswith(b"0\r\n\r\n")
        else:
            done = self.size >= self.need
        if done and self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(b"".join(self.parts))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(exc or ConnectionResetError("closed by the gateway"))

    async def ask(self, data: bytes) -> bytes:
        if self.transport.is_closing():
            raise ConnectionResetError("closed by the gateway")
        self.parts, self.size, self.need = [], 0, -1
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return await self.waiting


@dataclass
class Load:
    """What came of some requests."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list[float])
    errors: int = 0
    refused: int = 0
    wrong: str = ""

    @property
    def requests(self) -> int:
        return len(self.latencies)

    def quantile(self, share: float) -> float:
        """Of the latencies, in ms."""
        ordered = sorted(self.latencies)
        return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def connected(port: int) -> Connection:
    """A new connection."""
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(Connection, "127.0.0.1", port))[1]


async def load(
    port: int,
    make: Callable[[], Source],
    *,
    connections: int,
    seconds: float = 1e9,
    requests: int = 10**12,
) -> Load:
    """Keep connections busy for some seconds, or until so many requests are answered."""
    done = Load()
    sent = itertools.count()

    async def work(connection: Connection) -> None:
        try:
            for data in make():
                if time.perf_counter() - begun >= seconds or next(sent) >= requests:
                    return
                at = time.perf_counter()
                try:
                    answer = await connection.ask(data)
                except OSError as error:
                    answer = str(error).encode()
                    connection.transport.abort()
                    connection = await connected(port)
                done.latencies.append(time.perf_counter() - at)
                if not right(answer):
                    done.errors += 1
                    done.wrong = done.wrong or answer[:400].decode(errors="replace")
        finally:
            connection.transport.abort()

    opened = [await connected(port) for _ in range(connections)]
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(work(connection))
    done.seconds = time.perf_counter() - begun
    return done


def right(answer: bytes) -> bool:
    """Whether an answer is what the upstream says, in whole."""
    return answer[9:12] == b"200" and answer.count(WORD.encode()) == CHUNKS
