"""The subscriber against a publisher as vLLM's, over real ZeroMQ sockets."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import anyio
import msgspec
import pytest
import zmq

from waiting import until
from weft.backends.vllm import kv_events
from weft.backends.vllm.kv_events import EventSource, find_sources, follow
from weft.cache.kv_events import ReportedIndex
from weft.cache.vllm_hashes import event_hashes, vllm_block_hashes
from weft.errors import EngineError, EngineUnavailable

TOKENS = list(range(100))
HASHES = event_hashes(vllm_block_hashes(TOKENS, 1))


class Publisher:
    """Publishes batches of events; batch i stores block i.

    Attributes:
        lost: numbers of batches that subscribers don't get.
        skipped: numbers of batches that the next answer of a replay leaves out.
        forgotten: so many batches are no longer known to the replay.
    """

    def __init__(self, events: str = "tcp://127.0.0.1:*", replay: str = "tcp://127.0.0.1:*"):
        self._context = zmq.Context()
        self._context.setsockopt(zmq.LINGER, 0)
        self._out = self._context.socket(zmq.XPUB)
        self._out.bind(events)
        self._questions = self._context.socket(zmq.ROUTER)
        self._questions.bind(replay)
        self.source = EventSource(
            self._out.getsockopt_string(zmq.LAST_ENDPOINT),
            self._questions.getsockopt_string(zmq.LAST_ENDPOINT),
            "kv@A",
        )
        self.batches: list[bytes] = []
        self.lost: set[int] = set()
        self.skipped: set[int] = set()
        self.forgotten = 0
        self.asked: list[int] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def publish(self, block: int | None = None, payload: bytes | None = None) -> None:
        number = len(self.batches)
        block = number if block is None else block
        event = {
            "type": "BlockStored",
            "block_hashes": [HASHES[block]],
            "parent_block_hash": HASHES[block - 1] if block else None,
            "token_ids": [TOKENS[block]],
            "block_size": 1,
            "medium": "GPU",
        }
        self.batches.append(payload or msgspec.msgpack.encode([1.0, [event], 0]))
        if number not in self.lost:
            frames = [b"kv@A", number.to_bytes(8, "big"), self.batches[number]]
            self._out.send_multipart(frames)

    async def subscribed(self) -> None:
        """Wait until a subscription has arrived."""
        while not await anyio.to_thread.run_sync(self._out.poll, 50):
            pass
        assert self._out.recv() == b"\x01kv@A"

    def _answer(self) -> None:
        while not self._closing.is_set():
            if not self._questions.poll(5):
                continue
            who, _, start = self._questions.recv_multipart()
            first = int.from_bytes(start, "big")
            self.asked.append(first)
            skipped, self.skipped = self.skipped, set()
            for number, payload in enumerate(list(self.batches)):
                if number >= max(first, self.forgotten) and number not in skipped:
                    frames = [who, b"", b"kv@A", number.to_bytes(8, "big"), payload]
                    self._questions.send_multipart(frames)
            end = (-1).to_bytes(8, "big", signed=True)
            self._questions.send_multipart([who, b"", b"", end, b""])

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._out.close()
        self._questions.close()
        self._context.term()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Followed:
    """An index that is followed, and a way to wait for what it learns."""

    def __init__(self) -> None:
        self.index = ReportedIndex()
        self.changes = 0
        self._changed = anyio.Event()

    def changed(self) -> None:
        self.changes += 1
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    async def knows(self, blocks: int) -> None:
        await self.until(lambda: self.index.match(HASHES) == blocks)


@asynccontextmanager
async def following(source: EventSource) -> AsyncIterator[Followed]:
    one = Followed()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow, source, one.index, one.changed)
        yield one
        tasks.cancel_scope.cancel()


async def test_what_was_published_before_is_learned_and_then_what_comes() -> None:
    with Publisher() as engine:
        engine.publish()
        engine.publish()
        async with following(engine.source) as one:
            await engine.subscribed()
            await one.knows(2)
            for _ in range(50):
                engine.publish()
            await one.knows(52)
            assert engine.asked == [0]
        assert len(one.index) == 0


async def test_lost_batches_are_asked_for() -> None:
    with Publisher() as engine:
        async with following(engine.source) as one:
            await engine.subscribed()
            await one.until(lambda: one.changes > 0)
            engine.lost = {2, 3, 7}
            for _ in range(10):
                engine.publish()
            await one.knows(10)
            assert engine.asked[:2] == [0, 2]
            engine.publish()
            await one.knows(11)


async def test_a_last_batch_that_got_lost_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_events, "PATIENCE", 0.05)
    with Publisher() as engine:
        engine.lost = {1}
        async with following(engine.source) as one:
            await engine.subscribed()
            engine.publish()
            await one.knows(1)
            engine.publish()
            await one.knows(2)


async def test_an_answer_with_a_hole_is_asked_for_again() -> None:
    with Publisher() as engine:
        for _ in range(9):
            engine.publish()
        engine.skipped = {4}
        async with following(engine.source) as one:
            await one.knows(9)
        assert engine.asked == [0, 4]


async def test_what_the_engine_has_forgotten_is_done_without() -> None:
    with Publisher() as engine:
        for _ in range(6):
            engine.publish()
        engine.forgotten = 4
        async with following(engine.source) as one:
            await one.until(lambda: one.index.next == 6)
            assert (len(one.index), one.index.match(HASHES[4:])) == (2, 2)


async def test_after_a_restart_of_the_engine_only_the_new_one_counts() -> None:
    first = Publisher()
    for _ in range(5):
        first.publish()
    async with following(first.source) as one:
        await one.knows(5)
        first.close()
        await one.knows(0)
        with Publisher(first.source.events, first.source.replay) as second:
            second.publish()
            await second.subscribed()
            await one.knows(1)
            second.publish()
            await one.knows(2)
            assert one.index.next == 2


async def test_an_engine_that_comes_later_is_found() -> None:
    with Publisher() as gone:
        source = gone.source
    async with following(source) as one:
        await anyio.wait_all_tasks_blocked()
        with Publisher(source.events, source.replay) as engine:
            engine.publish()
            await one.knows(1)


async def test_a_silent_replay_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_events, "PATIENCE", 0.05)
    with Publisher() as engine, zmq.Context() as context, context.socket(zmq.ROUTER) as deaf:
        engine.publish()
        deaf.bind("tcp://127.0.0.1:*")
        address = deaf.getsockopt_string(zmq.LAST_ENDPOINT)
        async with following(EventSource(engine.source.events, address, "kv@A")) as one:
            await one.until(lambda: one.changes >= 2)
            assert len(one.index) == 0


async def test_events_that_cannot_be_read_end_it_with_one_error() -> None:
    with Publisher() as engine:
        one = Followed()
        engine.publish(payload=b"\xc1")
        with pytest.raises(EngineError, match="in a form"):
            await follow(engine.source, one.index, one.changed)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
async def test_nothing_stays_open() -> None:
    with Publisher() as engine:
        engine.publish()
        usual = 0
        for _ in range(4):
            async with following(engine.source) as one:
                await one.knows(1)
            usual = usual or descriptors()
            await until(lambda most=usual: descriptors() <= most)  # the publisher closes later


@contextmanager
def serving(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/kv_event_sources"
            self.send_response(status if found else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def publisher(rank: int, **other: object) -> dict[str, object]:
    """A publisher as vLLM 0.32 describes it."""
    return {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": f"tcp://*:{5610 + rank}",
        "replay_endpoint": f"tcp://0.0.0.0:{5620 + rank}",
        "buffer_steps": 10000,
        "hwm": 100000,
        "max_queue_size": 100000,
        "topic": "kv@A",
        **other,
    }


async def test_where_events_come_from_is_asked_of_the_server() -> None:
    ranks = {
        "0": publisher(0),
        "1": publisher(1, endpoint="tcp://10.0.0.3:77", replay_endpoint="tcp://[::]:78"),
        "2": publisher(2, replay_endpoint=None),
        "3": publisher(3, enable_kv_cache_events=False, publisher="null"),
    }
    with serving(200, json.dumps(ranks).encode()) as url:
        assert await find_sources(url) == [
            EventSource("tcp://127.0.0.1:5610", "tcp://127.0.0.1:5620", "kv@A"),
            EventSource("tcp://10.0.0.3:77", "tcp://127.0.0.1:78", "kv@A"),
        ]


async def test_a_server_without_events_has_no_sources() -> None:
    with serving(200, b"{}") as url:
        assert await find_sources(url) == []
    with serving(404, b"{}") as url:
        assert await find_sources(url) == []
    with pytest.raises(EngineUnavailable, match="nothing answers"):
        await find_sources(url)
