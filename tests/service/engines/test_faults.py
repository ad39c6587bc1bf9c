"""Engines and the service itself that die, are stopped, and come back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from live_service import BODIES, CHAT, LiveService, raw_engine, serving
from ports import free_port
from service_process import wait_ready
from waiting import PATIENCE, block_until, until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.service.state.state import State
from weft.store.store import Store
from weft_process import WeftProcess

pytestmark = [pytest.mark.loops("asyncio"), pytest.mark.timeout(300)]


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[WeftProcess]:
    """A weft command; killed in the end."""
    child = WeftProcess(*arguments, log=Path(os.devnull))
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def mock_process(port: int) -> Any:
    text = "x" * 20
    return process(
        *("mock", "--model", "m", "--reply", text, "--token-seconds", "0.01", "--port", str(port))
    )


async def test_an_engine_killed_under_load_loses_nothing_that_had_not_begun() -> None:
    ports = free_port(), free_port()
    one, two = (f"http://127.0.0.1:{port}" for port in ports)
    with mock_process(ports[1]):
        async with serving(
            {"spec": one, "name": "one", "concurrency": 20},
            {"spec": two, "name": "two", "concurrency": 20},
            health={"interval": 1},
        ) as service:
            with mock_process(ports[0]) as victim:
                engines = service.inside.scheduler.replicas
                await until(lambda: len(engines) == 2 and all(r.alive for r in engines))
                whole, streams, stop = list[httpx.Response](), list[bytes](), asyncio.Event()

                async def client(number: int) -> None:
                    headers = {"x-weft-program": f"p{number}"}
                    said = [{"role": "user", "content": f"{number}: " + "what to do? " * 20}]
                    while not stop.is_set():
                        if number % 4 < 2:
                            whole.append(await service.post(_headers=headers, messages=said))
                            continue
                        async with service.streaming(_headers=headers, messages=said) as response:
                            assert response.status_code == 200
                            streams.append(await response.aread())

                async with asyncio.TaskGroup() as group:
                    for number in range(50):
                        group.create_task(client(number))
                    await until(lambda: len(whole) > 50 and len(streams) > 50)
                    used = {answer.headers["x-weft-engine"] for answer in whole}
                    assert used == {"one", "two"}
                    running = next(r for r in engines if r.name == "one").in_flight
                    victim.kill()
                    victim.wait()
                    await until(lambda: sum(not r.alive for r in engines) == 1)
                    done = len(whole), len(streams)
                    await until(lambda: len(whole) > done[0] + 50)
                    stop.set()
            assert {answer.status_code for answer in whole} == {200}
            assert all(answer.json()["usage"]["completion_tokens"] for answer in whole)
            broken = [got for got in streams if b'"error"' in got]
            assert all(got.endswith(b"data: [DONE]\n\n") for got in streams)
            assert len(broken) <= running
            assert all(b"broke the connection" in got for got in broken)
            again = [p for p in service.inside.registry.programs.values() for p in p.calls]
            assert any(call.attempts > 1 and call.status == 200 for call in again)
            assert service.idle()
            with mock_process(ports[0]):
                await until(lambda: all(r.alive for r in engines))
                await _until_used(service, "one")


async def _until_used(service: LiveService, name: str) -> None:
    """Ask until an engine is among those that answer."""
    for number in range(100):
        answer = await service.post(_headers={"x-weft-program": f"q{number}"})
        assert answer.status_code == 200
        if answer.headers["x-weft-engine"] == name:
            return
    raise AssertionError(f"{name} was never used")


async def test_an_engine_that_says_it_is_well_but_fails_rests() -> None:
    async def reply(_: bytes, writer: Any) -> None:
        writer.close()

    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with raw_engine(reply) as engine, serving(engine.url, url) as service:
            for number in range(30):
                answer = await service.post(_headers={"x-weft-program": f"p{number}"})
                assert answer.status_code == 200
                assert answer.headers["x-weft-engine"] == url
            assert 3 <= engine.asked <= 6  # it is tried again each second, then ever less
            ready = await service.http.get("/ready")
            assert ready.status_code == 200


def programs(url: str) -> dict[str, Any]:
    """The programs that the service knows, by their ids."""
    listed = httpx.get(f"{url}/v1/programs", timeout=PATIENCE).json()["data"]
    return {program["id"]: program for program in listed}


def ready(url: str) -> bool:
    """Whether a service takes requests."""
    try:
        return httpx.get(f"{url}/ready", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


def start(log: Path, port: int, *arguments: str) -> WeftProcess:
    child = WeftProcess("serve", *arguments, "--port", str(port), log=log)
    wait_ready(child, f"http://127.0.0.1:{port}", log)
    return child


def test_a_service_that_is_killed_is_back_where_it_was(tmp_path: Path) -> None:
    engine = ScriptedEngine(
        lambda request: Scripted(f"{len(request.messages)} said"), model="m", token_seconds=0.05
    )
    port, log = free_port(), tmp_path / "log.txt"
    url = f"http://127.0.0.1:{port}"
    answers: list[str] = []

    def talk() -> None:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=12) as client:
            messages: Any = [{"role": "user", "content": "start"}]
            for turn in range(6):
                got = client.chat.completions.create(model="m", messages=messages)
                answers.append(got.choices[0].message.content or "")
                messages.append({"role": "assistant", "content": answers[-1]})
                messages.append({"role": "user", "content": f"go on {turn}"})

    with mock.running(engine) as address:
        kept = tmp_path / "weft.sqlite"
        options = ("--engine", address, "--store", str(kept))
        first = start(log, port, *options)
        agent = threading.Thread(target=talk)
        try:
            agent.start()
            block_until(lambda: len(answers) >= 3)
            before = programs(url)
            with Store(kept) as store:
                state = State(store)
                block_until(lambda: state.conversations(before))  # it is written behind
            first.kill()
            first.wait()
            second = start(log, port, *options)
            try:
                agent.join()
                after = programs(url)
            finally:
                second.terminate()
                assert second.wait() == 0
        finally:
            first.kill()
            first.wait()
            agent.join(30)
    assert answers == [f"{2 * turn + 1} said" for turn in range(6)]
    assert list(after) == list(before)  # one program, recognised by its growth
    (id,) = after
    assert after[id]["calls"] >= before[id]["calls"]
    assert after[id]["began"] == before[id]["began"]
    assert "Traceback" not in log.read_text()


def test_a_service_that_is_terminated_ends_what_is_under_way(tmp_path: Path) -> None:
    engine = ScriptedEngine("x" * 80, model="m", token_seconds=0.05)
    port, log = free_port(), tmp_path / "log.txt"
    url = f"http://127.0.0.1:{port}"
    with mock.running(engine) as address:
        service = start(log, port, "--engine", address)
        try:
            body = BODIES[CHAT] | {"stream": True}
            with (
                httpx.Client(base_url=url, timeout=PATIENCE) as http,
                http.stream("POST", CHAT, json=body) as response,
            ):
                parts = response.iter_bytes()
                got = next(parts)
                service.terminate()
                block_until(lambda: not ready(url))
                with contextlib.suppress(httpx.TransportError):  # it may have stopped by now
                    refused = httpx.post(f"{url}{CHAT}", timeout=PATIENCE, json=BODIES[CHAT])
                    assert refused.status_code == 503
                    assert refused.headers["retry-after"]
                got += b"".join(parts)
            assert got.count(b'"content":') >= 80
            assert b'"error"' not in got
            assert got.endswith(b"data: [DONE]\n\n")
            assert service.wait() == 0
        finally:
            service.kill()
            service.wait()
    assert "Traceback" not in log.read_text()


async def test_what_does_not_end_in_time_is_told_that_the_service_stops() -> None:
    engine = ScriptedEngine("x" * 2000, model="m", token_seconds=0.02)
    with mock.running(engine) as url:
        limits = {"drain_seconds": 0.3}
        async with serving({"spec": url, "concurrency": 2}, limits=limits) as service:
            whole = asyncio.create_task(service.post())
            await until(lambda: engine.running == 1)
            async with service.streaming() as response:
                queued = asyncio.create_task(service.post())
                await until(lambda: service.inside.scheduler.waiting == 1)
                os.kill(os.getpid(), signal.SIGTERM)
                got = await response.aread()
            assert b"the service has stopped" in got
            assert got.endswith(b"data: [DONE]\n\n")
            for answer in await asyncio.gather(whole, queued):
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "5"
            await until(lambda: engine.cancelled == 2)
