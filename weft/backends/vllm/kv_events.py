"""Following the KV events that a vLLM server publishes over ZeroMQ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import zmq
from anyio.lowlevel import checkpoint
from zmq.utils.monitor import parse_monitor_message

from weft.backends.http.client import client, reaching
from weft.cache.kv_events import ReportedIndex, decode
from weft.concurrency import TaskGroup
from weft.errors import WeftError

PATIENCE = 5.0
"""Seconds that the answer to a question for past events may pause."""

HEARTBEAT = 5000
"""Milliseconds between signs of life that the engine's publisher is asked for."""

_END = (-1).to_bytes(8, "big", signed=True)


@dataclass(frozen=True, slots=True)
class EventSource:
    """Where one engine publishes its KV events.

    Attributes:
        events: address of its publisher, `tcp://host:port`.
        replay: address that is asked for past events.
        topic: of its events.
    """

    events: str
    replay: str
    topic: str = ""


async def find_sources(url: str) -> list[EventSource]:
    """The sources of a vLLM server, one for each rank of data parallelism.

    Those without a replay endpoint are left out: whoever misses an event of theirs never knows
    again what the engine holds. A server without KV events has none.

    Args:
        url: the server's address, `http://host:port`.

    Raises:
        EngineUnavailable: nothing answers there.
    """
    host = urlsplit(url).hostname or "127.0.0.1"
    with reaching(url):
        async with client(url, silence=PATIENCE) as http:
            response = await http.get("/kv_event_sources")
    if response.status_code != 200:
        return []
    try:
        ranks = cast(dict[str, dict[str, Any]], response.json())
        return [
            EventSource(
                _reached(of["endpoint"], host), _reached(of["replay_endpoint"], host), of["topic"]
            )
            for _, of in sorted(ranks.items())
            if of["enable_kv_cache_events"] and of["publisher"] == "zmq" and of["replay_endpoint"]
        ]
    except (ValueError, LookupError, TypeError, AttributeError):  # no vLLM, though it answers
        return []


def _reached(endpoint: str, host: str) -> str:
    """An address to connect to, from the one that the server bound."""
    scheme, _, rest = endpoint.partition("://")
    bound, _, port = rest.rpartition(":")
    if scheme != "tcp" or bound not in ("*", "0.0.0.0", "[::]", "::"):
        return endpoint
    return f"tcp://{f'[{host}]' if ':' in host else host}:{port}"


async def follow(
    source: EventSource, index: ReportedIndex, changed: Callable[[], None] = lambda: None
) -> None:
    """Keep an index as an engine's events say; runs until cancelled.

    What was published before, or got lost on the way, is asked for. Where the connection or
    this function ends the index is emptied, since the engine may have been restarted; a new
    connection fills it again from the beginning.

    Args:
        source: of the engine.
        index: only this function changes it from now on.
        changed: called after each change.

    Raises:
        EngineError: the events can't be understood, or don't name blocks as weft does.
    """
    with zmq.Context() as context:
        context.setsockopt(zmq.LINGER, 0)
        context.setsockopt(zmq.IPV6, int("[" in source.events))
        # What isn't read at once is not dropped.
        context.setsockopt(zmq.RCVHWM, 0)
        while True:
            try:
                await _connection(context, source, index, changed)
            finally:
                index.restart()
                changed()


async def _connection(
    context: zmq.Context[zmq.Socket[bytes]],
    source: EventSource,
    index: ReportedIndex,
    changed: Callable[[], None],
) -> None:
    """Follow until the connection ends."""
    with context.socket(zmq.SUB) as socket:
        socket.heartbeat_ivl = HEARTBEAT
        socket.reconnect_ivl_max = 2000
        states = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        with socket.get_monitor_socket(states) as monitor:
            try:
                socket.subscribe(source.topic)
                socket.connect(source.events)
                while await _state(monitor) != zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    pass
                await _while_connected(context, socket, monitor, source, index, changed)
            finally:
                socket.disable_monitor()


async def _while_connected(
    context: zmq.Context[zmq.Socket[bytes]],
    socket: zmq.Socket[bytes],
    monitor: zmq.Socket[bytes],
    source: EventSource,
    index: ReportedIndex,
    changed: Callable[[], None],
) -> None:
    failed: WeftError | None = None

    async def listen() -> None:
        nonlocal failed
        try:
            connected, settled = await _replay(context, source, index), False
            if connected:
                changed()
            while connected:
                batch = await _receive_within(None if settled else PATIENCE, socket)
                # A batch that got lost shows by the next one only. So when no more come, as
                # after one that was published while the subscription was under way, ask once.
                settled, known = batch is None, index.next
                if batch is None:
                    connected = await _replay(context, source, index)
                else:
                    connected = await _take(batch, context, source, index)
                if index.next != known:
                    changed()
        except WeftError as error:
            failed = error
        tasks.cancel_scope.cancel()

    async with TaskGroup() as tasks:
        tasks.start_soon(listen)
        await _state(monitor)
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def _take(
    batch: list[bytes],
    context: zmq.Context[zmq.Socket[bytes]],
    source: EventSource,
    index: ReportedIndex,
) -> bool:
    """Take in a batch; False if earlier ones are missing and can't be had."""
    _, sequence, payload = batch
    number, events = int.from_bytes(sequence, "big"), decode(payload)
    return index.apply(number, events) or (
        await _replay(context, source, index) and index.apply(number, events)
    )


async def _replay(
    context: zmq.Context[zmq.Socket[bytes]], source: EventSource, index: ReportedIndex
) -> bool:
    """Ask for the batches from `index.next` on; False if there is no answer.

    A publisher drops part of a long answer that is not read fast enough: it is asked again
    for the rest, as long as there is more.
    """
    while True:
        begin = index.next
        with context.socket(zmq.DEALER) as socket:
            socket.connect(source.replay)
            socket.send_multipart([b"", begin.to_bytes(8, "big")])
            if await _answer(socket, index):
                return True
        if index.next == begin:
            return False


async def _answer(socket: zmq.Socket[bytes], index: ReportedIndex) -> bool:
    """Take in the answer to a question for past batches; False if some of it is missing."""
    first = True
    while True:
        with anyio.move_on_after(PATIENCE) as patience:
            _, _, sequence, payload = await _receive(socket)
            if sequence == _END:
                return True
            number = int.from_bytes(sequence, "big")
            if first and number > index.next:
                # The engine itself no longer knows what was before.
                index.restart(number)
            first = False
            if not index.apply(number, decode(payload)):
                return False
        if patience.cancelled_caught:
            return False


async def _state(monitor: zmq.Socket[bytes]) -> int:
    """Wait until the connection changes its state."""
    return parse_monitor_message(await _receive(monitor))["event"]


async def _receive(socket: zmq.Socket[bytes]) -> list[bytes]:
    await checkpoint()
    while True:
        try:
            return socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            # The descriptor tells of news only, so it is waited for after having looked.
            await anyio.wait_readable(socket.fileno())


async def _receive_within(seconds: float | None, socket: zmq.Socket[bytes]) -> list[bytes] | None:
    """The next message; None if there is none for so long."""
    with anyio.move_on_after(seconds):
        return await _receive(socket)
    return None
