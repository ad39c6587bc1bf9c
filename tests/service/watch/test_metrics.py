from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
import trio
import trio.testing
from prometheus_client.parser import text_string_to_metric_families

from weft.backends.engine import EngineLoad
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import EngineUnavailable
from weft.orchestrator.causes.cause import Miss
from weft.orchestrator.policy_file import load_policy
from weft.orchestrator.scheduler import Scheduler
from weft.service.programs.records import CallRecord, ProgramRecord
from weft.service.watch.metrics import Metrics
from work import steps

T = 1_700_000_000.0


@dataclass
class Registry:
    programs: dict[str, ProgramRecord] = field(default_factory=dict[str, ProgramRecord])


PROGRAM = ProgramRecord("a/p", "a", "n", "s", "", T, T + 40)


def call(model: str = "m", **fields: Any) -> CallRecord:
    times = {"came": T, "sent": T + 0.2, "first": T + 0.5, "ended": T + 3.0}
    rest = {"engine": "gpu0", "status": 200, "outcome": "done", "attempts": 1}
    made: dict[str, Any] = times | rest | {"prompt": 100, "cached": 60, "generated": 7}
    return CallRecord("c", PROGRAM, "/v1/messages", model, **(made | fields))


async def make_scheduler(engines: list[ScriptedEngine]) -> Scheduler:
    return Scheduler(engines, load_policy("weft"))  # it needs a clock


@pytest.fixture
def scheduler() -> Scheduler:
    engines = [ScriptedEngine("x", model="m", name="gpu0", kv_tokens=4096)]
    engines.append(ScriptedEngine("x", model="m", name="gpu1"))
    return anyio.run(make_scheduler, engines)


@pytest.fixture
def metrics(scheduler: Scheduler) -> Metrics:
    loads = {"gpu0": EngineLoad(1, 0, 0.5)}
    return Metrics(Registry({"a/p": PROGRAM}), scheduler, loads, lambda: {"m", "m:majority(n=8)"})


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(metrics: Metrics) -> Samples:
    text = metrics.render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_calls(metrics: Metrics) -> None:
    metrics.call_ended(call())
    metrics.call_ended(call(status=502, outcome="broken", attempts=3, first=0.0))
    refused = {"status": 429, "outcome": "refused", "attempts": 0, "sent": 0.0, "first": 0.0}
    metrics.call_ended(call(**refused, ended=T))
    metrics.call_ended(call("m:majority(n=8)"))
    found = read(metrics)
    at = ("model", "m"), ("path", "/v1/messages")
    for outcome, status in (("done", "2xx"), ("refused", "4xx"), ("broken", "5xx")):
        labels = (at[0], ("outcome", outcome), at[1], ("status", status))
        assert found["weft_calls_total", labels] == 1
    whose = (("model", "m"), ("tenant", "a"))
    assert found["weft_prompt_tokens_total", whose] == 200
    assert found["weft_cached_tokens_total", whose] == 120
    assert found["weft_generated_tokens_total", whose] == 14
    assert found["weft_call_retries_total", (("model", "m"),)] == 2
    assert found["weft_call_wait_seconds_count", (("model", "m"),)] == 3
    assert found["weft_call_wait_seconds_bucket", (("le", "0.1"), ("model", "m"))] == 1
    assert found["weft_call_wait_seconds_bucket", (("le", "0.25"), ("model", "m"))] == 3
    assert found["weft_call_first_byte_seconds_count", (("model", "m"),)] == 1
    assert found["weft_call_duration_seconds_sum", (("model", "m"),)] == pytest.approx(6.0)
    assert found["weft_call_duration_seconds_bucket", (("le", "+Inf"), ("model", "m"))] == 3
    assert found["weft_call_wait_seconds_count", (("model", "m:majority(n=8)"),)] == 1


def test_causes_of_waits_and_of_misses(metrics: Metrics) -> None:
    missed = (Miss("new", 30, 0), Miss("evicted", 10, 30, "another"))
    metrics.call_ended(call(wait_cause="busy", missed=missed))
    metrics.call_ended(call(wait_cause="busy", sent=T + 2, missed=missed[:1]))
    metrics.call_ended(call(wait_cause="down", sent=0.0, first=0.0, ended=T + 4, status=503))
    metrics.call_ended(call())
    found = read(metrics)
    for name, cause, value in (
        ("weft_waited_seconds_total", "busy", 2.2),
        ("weft_waited_seconds_total", "down", 4.0),
        ("weft_missed_tokens_total", "new", 60),
        ("weft_missed_tokens_total", "evicted", 10),
    ):
        assert found[name, (("cause", cause), ("model", "m"))] == pytest.approx(value)
    assert len([name for name, _ in found if name == "weft_waited_seconds_total"]) == 2


def test_a_bound_belongs_to_its_bucket(metrics: Metrics) -> None:
    metrics.call_ended(call(came=0.0, sent=0.25, first=0.5, ended=1.0))
    found = read(metrics)
    assert found["weft_call_wait_seconds_bucket", (("le", "0.25"), ("model", "m"))] == 1
    assert found["weft_call_wait_seconds_bucket", (("le", "0.1"), ("model", "m"))] == 0


def test_models_that_are_not_served_share_a_label(metrics: Metrics) -> None:
    for i in range(1000):
        metrics.call_ended(call(f"guess-{i}", status=404, attempts=0, sent=0.0))
    found = read(metrics)
    calls = {labels: value for (name, labels), value in found.items() if name == "weft_calls_total"}
    assert [(dict(labels)["model"], count) for labels, count in calls.items()] == [("other", 1000)]
    assert b"guess" not in metrics.render()


def test_programs_and_what_ended_them(metrics: Metrics) -> None:
    metrics.program_ended(PROGRAM, "released")
    for i in range(50):
        metrics.program_ended(PROGRAM, f"reason {i}")
    found = read(metrics)
    assert found["weft_programs_live", ()] == 1
    assert found["weft_programs_ended_total", (("reason", "released"),)] == 1
    assert found["weft_programs_ended_total", (("reason", "other"),)] == 35
    assert found["weft_program_duration_seconds_bucket", (("le", "15.0"),)] == 0
    assert found["weft_program_duration_seconds_bucket", (("le", "60.0"),)] == 51


async def test_engines_and_scheduler(metrics: Metrics, scheduler: Scheduler) -> None:
    one, other = scheduler.replicas
    one.in_flight = 2
    one.index.private(one.index.open([]), 10)
    other.take_out(EngineUnavailable("gone"))
    scheduler.dispatcher.counters.forced = 4
    scheduler.dispatcher.counters.longest_wait = 12.5
    scheduler.dispatcher.counters.unanswered["place"] = 3
    found = read(metrics)
    first, second = (("engine", "gpu0"),), (("engine", "gpu1"),)
    assert (found["weft_engine_up", first], found["weft_engine_up", second]) == (1, 0)
    assert found["weft_engine_calls_in_flight", first] == 2
    assert found["weft_engine_kv_tokens", first] == 4096
    assert found["weft_engine_kv_reserved_tokens", first] == 10 * one.block_size
    assert found["weft_engine_kv_usage_ratio", first] == 0.5
    assert ("weft_engine_kv_usage_ratio", second) not in found
    assert ("weft_engine_kv_tokens", second) not in found
    assert found["weft_calls_in_flight", ()] == 2
    assert found["weft_scheduler_forced_total", ()] == 4
    assert found["weft_scheduler_longest_wait_seconds", ()] == 12.5
    assert found["weft_scheduler_unanswered_total", (("decision", "place"),)] == 3
    assert found["weft_scheduler_unanswered_total", (("decision", "admit"),)] == 0
    assert found["process_resident_memory_bytes", ()] > 0


@pytest.mark.loops("virtual")
async def test_the_lag_of_the_loop_is_seen(metrics: Metrics) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(metrics.watch)
        await anyio.sleep(0.1)
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(0.4)  # as if something stood still
        await anyio.sleep(0.1)
        group.cancel_scope.cancel()
    found = read(metrics)
    assert found["weft_event_loop_lag_seconds_count", ()] == 1
    assert found["weft_event_loop_lag_seconds_sum", ()] == pytest.approx(0.25)


def test_names_and_types_are_as_prometheus_wants_them(metrics: Metrics) -> None:
    metrics.call_ended(call())
    metrics.program_ended(PROGRAM, "expired")
    assert metrics.content_type.startswith("text/plain")
    for family in text_string_to_metric_families(metrics.render().decode()):
        if not family.name.startswith("process_"):
            assert family.name.startswith("weft_")
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total")


def test_two_do_not_share_anything(scheduler: Scheduler) -> None:
    one, other = (Metrics(Registry(), scheduler, {}, lambda: {"m"}) for _ in range(2))
    one.call_ended(call())
    assert not [name for name, _ in read(other) if name == "weft_calls_total"]


def test_counting_a_call_is_quick(metrics: Metrics) -> None:
    made = call()
    first = steps(lambda: metrics.call_ended(made))
    for _ in range(2000):
        metrics.call_ended(made)
    assert max(first, steps(lambda: metrics.call_ended(made))) <= 100
