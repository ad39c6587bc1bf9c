"""Changes while the service runs, and what is left when many programs are over."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest

from live_service import LiveService, serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.service.config.api_key import hash_key
from weft.service.config.file import ServiceConfig, load_config

pytestmark = pytest.mark.loops("asyncio")

KEY = {"authorization": "Bearer key-of-ann-0000000"}


def rereading() -> tuple[dict[str, Any], Callable[[], ServiceConfig]]:
    """Fields of a configuration, and what reads them anew."""
    fields: dict[str, Any] = {}
    return fields, lambda: ServiceConfig.model_validate(fields)


async def reload(service: LiveService) -> list[str]:
    answer = await service.http.post("/admin/reload")
    assert answer.status_code == 200, answer.text
    return answer.json()["done"]


async def ask(service: LiveService, program: str, **fields: Any) -> httpx.Response:
    return await service.post(_headers={"x-weft-program": program, **KEY}, **fields)


async def test_engines_come_and_go_under_load_and_nothing_is_lost() -> None:
    one, two = (ScriptedEngine("Hello", model="m", token_seconds=0.005) for _ in range(2))
    fields, reread = rereading()
    with mock.running(one) as first, mock.running(two) as second:
        fields["engines"] = [{"spec": first, "name": "one", "concurrency": 4}]
        async with serving(*fields["engines"], reread=reread) as service:
            stop = asyncio.Event()
            answers: list[httpx.Response] = []

            async def client(number: int) -> None:
                while not stop.is_set():
                    answers.append(await ask(service, f"p{number}"))

            async with asyncio.TaskGroup() as group:
                for number in range(12):
                    group.create_task(client(number))
                await until(lambda: len(answers) > 20)
                fields["engines"].append({"spec": second, "name": "two", "concurrency": 4})
                assert await reload(service) == ["engine two is taken in"]
                await until(lambda: len(two.requests) > 20)
                fields["engines"].pop(0)
                assert await reload(service) == ["engine one is let go"]
                await until(lambda: not one.running)
                before, last = len(answers), len(one.requests)
                await until(lambda: len(answers) > before + 20)
                assert len(one.requests) == last
                stop.set()
            assert {answer.status_code for answer in answers} == {200}
            names = {answer.headers["x-weft-engine"] for answer in answers}
            assert names == {"one", "two"}
            engines = (await service.http.get("/admin/engines")).json()["data"]
            assert [(e["name"], e["in_flight"]) for e in engines] == [("two", 0)]
            await until(lambda: len(service.inside.upstreams) == 1)


async def test_an_engine_that_is_let_go_is_closed_though_the_service_stops_meanwhile(
    tmp_path: Path,
) -> None:
    closed, file = tmp_path / "closed", tmp_path / "engine_with_an_end.py"
    file.write_text(
        dedent(
            """
            from contextlib import asynccontextmanager
            from pathlib import Path

            from weft.backends.kinds import EngineKind, engine_kind
            from weft.backends.vllm import VLLMEngine

            @engine_kind("with_an_end")
            class WithAnEnd(EngineKind):
                def __init__(self, url: str, closed: str) -> None:
                    self.url, self.closed = url, closed

                @asynccontextmanager
                async def open(self, say):
                    yield [VLLMEngine(self.url)]
                    Path(self.closed).write_text("yes")
            """
        )
    )
    slow = ScriptedEngine("Hello", model="m", token_seconds=60)
    fields, reread = rereading()
    with mock.running(slow) as first:
        spec = f"{file}:WithAnEnd(url={first}, closed={closed})"
        fields["engines"] = [{"spec": spec, "name": "one"}]
        async with serving(*fields["engines"], reread=reread) as service:
            call = asyncio.create_task(ask(service, "p"))
            await until(lambda: slow.running)
            fields["engines"] = [first]
            assert "engine one is let go" in await reload(service)
            assert not closed.exists()
            call.cancel()
        assert closed.read_text() == "yes"


async def test_a_reload_changes_limits_keys_and_strategies() -> None:
    fields, reread = rereading()
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        ann = {"name": "ann", "keys": [hash_key("key-of-ann-0000000")]}
        root = {"keys": [hash_key("key-of-root-000000")]}
        fields |= {"engines": [url], "tenants": [ann], "admin": root}
        async with serving(url, tenants=[ann], admin=root, reread=reread) as service:
            assert (await ask(service, "p")).is_success
            ann["requests_per_minute"] = 1
            fields["limits"] = {"body_bytes": 500}
            fields["strategies"] = {"models": [{"name": "vote", "strategy": "majority(n=3)"}]}
            said = await service.http.post(
                "/admin/reload", headers={"authorization": "Bearer key-of-root-000000"}
            )
            assert said.json()["done"] == ["strategies, tenants, limits: as the file says now"]
            assert (await ask(service, "p", more="x" * 500)).status_code == 413
            models = (await service.http.get("/v1/models", headers=KEY)).json()["data"]
            assert [model["id"] for model in models] == ["m", "vote"]
            assert (await ask(service, "p")).is_success
            assert (await ask(service, "p")).status_code == 429
            ann["keys"] = [hash_key("another-key-0000000")]
            await service.inside.reload()
            assert (await ask(service, "p")).status_code == 401


async def test_a_wrong_configuration_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "weft.yaml"
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        file.write_text(f"engines: [{url}]\nlimits: {{queue: -1}}\n")
        async with serving(url, reread=lambda: load_config(file)) as service:
            before = service.inside.config
            answer = await service.http.post("/admin/reload")
            assert answer.status_code == 400
            assert "queue" in answer.json()["error"]["message"]
            assert service.inside.config is before
        async with serving(url) as service:
            answer = await service.http.post("/admin/reload")
            assert answer.status_code == 400
            assert "without a configuration file" in answer.text


async def test_an_engine_that_drains_gets_no_new_programs() -> None:
    one, two = (ScriptedEngine("Hello", model="m") for _ in range(2))
    with mock.running(one) as first, mock.running(two) as second:
        named = [{"spec": first, "name": "one"}, {"spec": second, "name": "two"}]
        async with serving(*named) as service:
            where = {n: (await ask(service, f"p{n}")).headers["x-weft-engine"] for n in range(4)}
            assert set(where.values()) == {"one", "two"}
            drained = await service.http.post("/admin/engines/one/drain")
            assert drained.json() == {"name": "one", "draining": True}
            for n in range(4, 12):
                assert (await ask(service, f"p{n}")).headers["x-weft-engine"] == "two"
            back = await service.http.delete("/admin/engines/one/drain")
            assert back.json()["draining"] is False
            later = [await ask(service, f"q{n}") for n in range(8)]
            assert "one" in {answer.headers["x-weft-engine"] for answer in later}
            assert (await service.http.post("/admin/engines/x/drain")).status_code == 404


async def test_many_programs_leave_nothing_behind() -> None:
    engine = ScriptedEngine("Hello", model="m", token_seconds=0.001)
    with mock.running(engine) as url:
        limits = {"lease_seconds": 1}
        async with serving({"spec": url, "concurrency": 16}, limits=limits) as service:
            inside = service.inside

            async def program(number: int) -> None:
                answer = await ask(service, f"p{number}", stream=number % 2 == 0)
                assert answer.status_code == 200

            await program(-1)
            tasks = len(asyncio.all_tasks())
            await asyncio.gather(*map(program, range(200)))
            await until(service.idle)
            assert engine.peak <= 16
            assert len(inside.registry.programs) <= 201
            await until(lambda: not inside.registry.programs)
            assert inside.scheduler.dispatcher.programs == {}
            assert inside._owners == {}
            assert len(inside.registry.ended) >= 201
            await service.http.aclose()
            await until(lambda: not service.server.server_state.connections)
            await until(lambda: len(asyncio.all_tasks()) <= tasks)
            upstream = inside.upstreams[inside.scheduler.replicas[0]]
            await until(lambda: not upstream.connections)
            replica = inside.scheduler.replicas[0]
            assert (replica.programs, replica.reserved, replica.claimed) == (0, 0, 0)
            gc.collect()
            # Queues skip who has left them when they come to it, or when these are too many.
            assert sum(type(one).__name__ == "Ticket" for one in gc.get_objects()) < 64
