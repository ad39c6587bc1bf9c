from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from weft.backends.engine import EngineLoad
from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.causes.cause import Miss
from weft.orchestrator.policy_file import load_policy
from weft.orchestrator.scheduler import Scheduler
from weft.service.programs.records import CallRecord, ProgramRecord
from weft.service.watch.overview import Overview
from weft.service.watch.snapshot import missed
from work import steps

T = 1_700_000_000.0


@dataclass
class Registry:
    programs: dict[str, ProgramRecord] = field(default_factory=dict[str, ProgramRecord])

    def program(self, id: str, tenant: str = "", **fields: Any) -> ProgramRecord:
        given: dict[str, Any] = {"name": "n", "source": "s", "parent": "", "began": T, "seen": T}
        made = ProgramRecord(id, tenant, **given | fields)
        self.programs[id] = made
        return made


def call(of: ProgramRecord, id: str, came: float, **fields: Any) -> CallRecord:
    made = CallRecord(id, of, "/v1/messages", "m", came, **{"engine": "gpu0", **fields})
    of.calls.append(made)
    if not made.ended:
        of.live[id] = made
    return made


async def make_scheduler(engines: list[ScriptedEngine]) -> Scheduler:
    return Scheduler(engines, load_policy("weft"))  # it needs a clock


@pytest.fixture
def scheduler() -> Scheduler:
    engines = [ScriptedEngine("x", model="m", name=f"gpu{i}", kv_tokens=4096) for i in range(2)]
    return anyio.run(make_scheduler, engines)


async def test_sums_by_tenant(scheduler: Scheduler) -> None:
    registry = Registry()
    overview = Overview(registry, scheduler, {}, T)
    a, b = registry.program("a/1", "a"), registry.program("b/1", "b")
    done = {"first": T + 5, "ended": T + 6, "status": 200, "outcome": "done", "attempts": 1}
    overview.call_ended(call(a, "1", T, sent=T + 4, prompt=100, cached=60, generated=7, **done))
    overview.call_ended(call(a, "2", T, sent=T + 2, prompt=100, cached=0, generated=1, **done))
    overview.call_ended(call(a, "3", T, ended=T, status=429, outcome="refused"))
    broken = {"status": 502, "outcome": "broken", "attempts": 3}
    overview.call_ended(call(b, "4", T, sent=T, ended=T + 1, prompt=9, **broken))
    left = {"status": 499, "outcome": "cancelled", "attempts": 1}
    overview.call_ended(call(b, "5", T, sent=T, ended=T + 1, **left))
    tenants = {t["name"]: t for t in overview.view(T + 6)["tenants"]}
    assert tenants["a"] == {
        "name": "a",
        "live": 1,
        "calls": 3,
        "prompt": 200,
        "cached": 60,
        "generated": 8,
        "wait": 2.0,
        "longest_wait": 4.0,
        "errors": 0,
        "rejected": 1,
    }
    assert (tenants["b"]["errors"], tenants["b"]["rejected"], tenants["b"]["prompt"]) == (1, 0, 9)
    totals = overview.view(T + 6)["totals"]
    assert (totals["calls"], totals["prompt"], totals["errors"], totals["rejected"]) == (
        5,
        209,
        1,
        1,
    )


async def test_hit_rates_are_of_the_last_hundred_calls(scheduler: Scheduler) -> None:
    registry = Registry()
    overview = Overview(registry, scheduler, {"gpu1": EngineLoad(0, 0, 0.25)}, T)
    program = registry.program("p")
    for i in range(150):
        cached = 0 if i < 50 else 3
        overview.call_ended(
            call(program, str(i), T, sent=T, first=T, ended=T, prompt=4, cached=cached)
        )
    one, other = overview.view(T)["engines"]
    assert (one["hits"], one["kv_usage"]) == (0.75, None)
    assert (other["hits"], other["kv_usage"]) == (None, 0.25)


async def test_the_last_placements_with_live_ones(scheduler: Scheduler) -> None:
    registry = Registry()
    overview = Overview(registry, scheduler, {}, T)
    program = registry.program("p")
    for i in range(60):
        overview.call_ended(
            call(program, f"c{i}", T, sent=T + i, ended=T + 100, placement_reason=f"w{i}")
        )
    call(program, "live", T, sent=T + 30.5, placement_reason="there", wait_reason="it was full")
    call(program, "queued", T)
    placed = overview.view(T + 100)["placements"]
    assert len(placed) == 50
    assert [p["call"] for p in placed[:2]] == ["c59", "c58"]
    at = [p["call"] for p in placed].index("live")
    assert placed[at - 1]["call"] == "c31"
    assert placed[at] | {"name": ""} == {
        "at": T + 30.5,
        "program": "p",
        "name": "",
        "call": "live",
        "engine": "gpu0",
        "waited": 30.5,
        "where": "there",
        "wait": "it was full",
        "wait_cause": "",
        "missed": [],
    }


def test_who_took_the_room_is_told_to_those_who_may_know() -> None:
    one = call(Registry().program("p"), "c", T)
    one.missed = (Miss("evicted", 32, 0, "d", "other/q"),)
    assert missed(one)[0]["why"] == "32 tokens were evicted by d of other/q"
    assert missed(one, others=False) == [
        {"cause": "evicted", "tokens": 32, "why": "32 tokens: evicted"}
    ]


async def test_it_is_the_same_while_nothing_happens(scheduler: Scheduler) -> None:
    registry = Registry()
    overview = Overview(registry, scheduler, {}, T)
    program = registry.program("p")
    overview.call_ended(call(program, "c", T, sent=T, first=T + 1, ended=T + 2, tool="bash"))
    assert overview.view(T + 3) == overview.view(T + 100)
    overview.program_ended(registry.programs.pop("p"), "released")
    totals = overview.view(T + 3)["totals"]
    assert (totals["programs"], totals["programs_ended"]) == (0, 1)


async def test_an_overview_of_500_programs_is_cheap(scheduler: Scheduler) -> None:
    registry = Registry()
    overview = Overview(registry, scheduler, {}, T)
    for i in range(500):
        program = registry.program(f"p{i}", seen=T + i)
        for j in range(12):
            at = T + 500 + j * 10
            overview.call_ended(
                call(program, f"{i}-{j}", at, sent=at + 1, first=at + 2, ended=at + 6, tool="bash")
            )
        call(program, f"{i}-live", T + 619, sent=T + 619.5, first=T + 619.8)
    view = overview.view(T + 620)
    assert (len(view["programs"]), view["hidden"]) == (200, 300)
    assert view["programs"][0]["id"] == "p499"
    assert len(view["programs"][0]["course"]) == 13
    assert steps(lambda: overview.view(T + 620)) <= 100_000
