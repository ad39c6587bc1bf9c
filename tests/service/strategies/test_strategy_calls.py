"""What can be seen of a strategy's calls while it runs and afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from live_service import CHAT, LiveService, serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.service.watch.telemetry import Telemetry

pytestmark = pytest.mark.loops("asyncio")

VOTE = "m:majority(n=8, stop_early=false)"


@contextlib.asynccontextmanager
async def two_engines(
    answer: str | Scripted = "Answer: 42", **fields: Any
) -> AsyncGenerator[tuple[LiveService, dict[str, ScriptedEngine]]]:
    engines = {name: ScriptedEngine([answer], model="m", name=name) for name in ("one", "two")}
    with mock.running(engines["one"]) as one, mock.running(engines["two"]) as two:
        specs = [
            {"spec": url, "name": name, "concurrency": 2}
            for name, url in (("one", one), ("two", two))
        ]
        async with serving(*specs, **fields) as service:
            yield service, engines


async def detail(service: LiveService) -> dict[str, Any]:
    (program,) = (await service.http.get("/v1/programs?ended=true")).json()["data"]
    return (await service.http.get(f"/v1/programs/{program['id']}")).json()


@pytest.mark.parametrize("stream", [False, True])
async def test_each_call_of_a_strategy_is_in_its_programs_graph(stream: bool) -> None:
    async with two_engines() as (service, engines):
        telemetry = Telemetry(service.inside)
        asked = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        answer = await service.post(model=VOTE, **asked)
        assert answer.status_code == 200
        program = await detail(service)
        view = telemetry.overview.view(time.time())
        metrics = telemetry.metrics.render().decode()
    whole, *parts = program["graph"]["nodes"]
    assert whole["id"] == answer.headers["x-weft-call"]
    assert (whole["model"], {part["model"] for part in parts}) == (VOTE, {"m"})
    assert len(parts) == 8
    edges = [edge for edge in program["graph"]["edges"] if edge["kind"] == "part"]
    assert [(e["from"], e["to"]) for e in edges] == [(whole["id"], part["id"]) for part in parts]
    for name, engine in engines.items():
        there = {part["id"] for part in parts if part["engine"] == name}
        ids = {request.headers.get("x-request-id", "") for request in engine.received}
        assert there == ids - {""}
        assert there
    for part in parts:
        assert (part["phase"], part["status"], part["attempts"]) == ("done", 200, 1)
        assert part["came"] <= part["sent"] <= part["first"] <= part["ended"]
        assert (part["prompt"], part["generated"]) == (4, 11)
        assert part["where"]
    assert sum(part["waited"] > 0 for part in parts) >= 4  # four run at once
    # Tokens are counted once.
    assert (program["calls"], program["omitted"], program["prompt"]) == (1, 0, 32)
    assert (program["generated"], whole["generated"]) == (88, 88)
    assert program["waited"] == pytest.approx(sum(p["waited"] for p in parts), abs=0.02)
    assert 'weft_generated_tokens_total{model="other",tenant=""} 88.0' in metrics
    assert 'model="m"' not in metrics
    assert {placed["call"] for placed in view["placements"]} == {part["id"] for part in parts}
    (tenant,) = view["tenants"]
    assert (tenant["calls"], tenant["generated"]) == (1, 88)


async def test_calls_are_seen_while_they_run_and_end_with_their_client() -> None:
    async with two_engines(Scripted("x" * 10_000, seconds=0.01)) as (service, engines):
        telemetry = Telemetry(service.inside)
        request = asyncio.create_task(service.post(CHAT, model=VOTE))
        await until(lambda: sum(engine.running for engine in engines.values()) == 4)
        totals: dict[str, Any] = {}

        def seen() -> bool:
            totals.update(telemetry.overview.view(time.time())["totals"])
            return totals["decode"] == 4

        await until(seen)
        assert (totals["queued"], totals["prefill"]) == (4, 0)
        program = await detail(service)
        assert (program["state"], program["live"]) == ("decode", 9)
        (shown,) = telemetry.overview.view(time.time())["programs"]
        assert len(shown["course"]) == 8
        request.cancel()
        await until(service.idle)
        _, *parts = (await detail(service))["graph"]["nodes"]
    assert [part["status"] for part in parts] == [499] * 8
    assert sum(part["generated"] > 0 for part in parts) == 4


async def test_failed_calls_and_the_last_hundred() -> None:
    async with two_engines(limits={"outage_seconds": 0.1}) as (service, engines):
        await service.post(model="m:majority(n=60, stop_early=false)", _headers={})
        engines["one"].kill()
        engines["two"].kill()
        answer = await service.post(model=VOTE)
        assert answer.status_code == 503
        programs = [*service.inside.registry.ended]
        assert {part.status for part in programs[-1].calls if part.within} <= {502, 499}
        assert not any(program.live for program in programs)
        assert all(len(program.calls) <= 100 for program in programs)
        assert (programs[0].parts, len(programs[0].calls)) == (60, 61)


LEAVING = """
import sys
from weft import fan_out
from weft.search import Answer, Question, Strategy, strategy


async def leave(how):
    if how == "interrupt":
        raise KeyboardInterrupt
    sys.exit(3)


@strategy("leaving")
class Leaving(Strategy):
    how: str = "exit"

    async def solve(self, question: Question) -> Answer:
        if self.how != "branch":
            await leave(self.how)
        async with fan_out(leave, [self.how] * 2) as results:
            return Answer(str([one async for one in results]), None)
"""


async def test_a_strategy_that_leaves_the_process_ends_its_own_request(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(LEAVING)
    models = [
        {"strategy": f"{file}:Leaving(how={how})", "model": "m", "name": how}
        for how in ("exit", "interrupt", "branch")
    ]
    async with two_engines(strategies={"models": models}) as (service, _):
        for model in models:
            for stream in (False, True):
                answer = await service.post(model=model["name"], stream=stream)
                assert answer.status_code == 500, answer.text
                assert "strategy Leaving failed at" in answer.text
        assert (await service.post(model=VOTE)).status_code == 200
        await until(service.idle)
