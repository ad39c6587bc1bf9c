from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.engine import EngineLoad
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import EngineUnavailable
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.programs.program import Program
from weft.service.programs.records import KEPT, CallRecord, ProgramRecord
from weft.service.watch.snapshot import (
    course,
    engine_view,
    program_detail,
    program_summary,
    state,
)

T = 1_700_000_000.0


def program(**fields: Any) -> ProgramRecord:
    given: dict[str, Any] = {"id": "p", "tenant": "", "name": "aider", "parent": ""}
    given |= {"source": "conversation", "began": T, "seen": T}
    return ProgramRecord(**given | fields)


def call(of: ProgramRecord, came: float, *times: float, **fields: Any) -> CallRecord:
    """A call that came, was sent, gave its first byte and ended so many seconds after T."""
    moments = dict(zip(("sent", "first", "ended"), (T + t for t in times), strict=False))
    made = CallRecord(
        f"c{len(of.calls)}", of, "/v1/messages", "m", T + came, **moments, engine="e", **fields
    )
    of.calls.append(made)
    if not made.ended:
        of.live[made.id] = made
    return made


def test_states() -> None:
    record = program()
    assert state(record) == "idle"
    call(record, 0, 1, 2, 3, tool="bash")
    assert state(record) == "tool"
    call(record, 4)
    assert state(record) == "queued"
    call(record, 4, 5)
    assert state(record) == "prefill"
    call(record, 4, 5, 6)
    assert state(record) == "decode"
    answered = program()
    call(answered, 0, 1, 2, 3)
    assert state(answered) == "idle"


def test_a_summary_counts_the_wait_that_goes_on() -> None:
    record = program(waited=2.0, count=3, prompt=10, cached=4, generated=5)
    call(record, 0, 1, 2, 3)
    call(record, 5)
    summary = program_summary(record, T + 6.5)
    assert summary["waited"] == 3.5
    assert (summary["calls"], summary["live"], summary["model"]) == (3, 1, "m")
    assert program_summary(program(), T)["engine"] == ""
    json.dumps(summary)


def edges(record: ProgramRecord) -> list[tuple[str, str]]:
    graph = program_detail(record, T + 99)["graph"]
    return [(e["from"], e["to"]) for e in graph["edges"] if e["kind"] == "sequence"]


def test_the_graph_of_two_parallel_calls_between_two() -> None:
    record = program()
    call(record, 0, 0, 0, 1)
    call(record, 2, 2, 2, 5)
    call(record, 3, 3, 3, 4)
    call(record, 6, 6, 6, 7)
    call(record, 8)
    assert edges(record) == [
        ("c0", "c1"),
        ("c0", "c2"),
        ("c2", "c3"),
        ("c1", "c3"),
        ("c3", "c4"),
    ]


def test_the_parent_is_a_node() -> None:
    record = program(parent="boss")
    call(record, 0, 0, 0, 1)
    graph = program_detail(record, T)["graph"]
    assert graph["nodes"][0] == {"kind": "program", "id": "boss"}
    assert graph["edges"] == [{"kind": "parent", "from": "boss", "to": "c0"}]
    assert program_detail(program(parent="boss"), T)["graph"]["edges"] == []


def test_calls_that_are_no_longer_kept_are_counted() -> None:
    record = program(count=KEPT + 100)
    for i in range(KEPT + 1):
        call(record, i, i, i, i + 0.5)
    assert program_detail(record, T)["omitted"] == 100
    assert len(program_detail(record, T)["graph"]["nodes"]) == KEPT


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=14))
def test_edges_are_the_least_that_say_who_came_after_whom(spans: list[tuple[int, int]]) -> None:
    record = program()
    for begin, length in sorted(spans):
        call(record, begin, begin, begin, begin + length)
    calls = list(record.calls)
    after = {(i, j) for j in range(len(calls)) for i in range(j) if calls[i].ended <= calls[j].came}
    found = {(int(a[1:]), int(b[1:])) for a, b in edges(record)}
    assert found <= after
    reached = set(found)
    for _ in calls:
        reached |= {(i, k) for i, j in reached for m, k in found if j == m}
    assert reached == after
    for i, j in found:  # none of them follows from two others, but for calls of no duration
        between = {k for k in range(len(calls)) if (i, k) in after and (k, j) in after}
        assert all(
            calls[i].came == calls[i].ended or calls[k].came == calls[k].ended for k in between
        )


def test_the_course_of_a_program() -> None:
    record = program()
    call(record, 0, 1, 2, 3)
    call(record, 3, 3, 3, 4, tool="bash")
    record.calls.append(CallRecord("left", record, "/v1/messages", "m", T + 5, ended=T + 6.5))
    call(record, 14, 15)
    assert course(record, T + 6, T) == [
        [14000, 15000, -1, -1, 0],
        [5000, -1, -1, 6500, 0],
        [3000, 3000, 3000, 4000, 1],  # what follows it reaches into the window
    ]
    assert len(course(record, T, T)) == 4
    assert course(program(), T, T) == []


def test_a_course_has_an_end() -> None:
    record = program()
    for i in range(100):
        call(record, i, i, i, i)
    assert len(course(record, T, T)) == 24


async def test_an_engine_as_it_is() -> None:
    engine = ScriptedEngine("x", name="gpu0", kv_tokens=1600, block_size=16)
    replica = Replica(engine)
    replica.index.private(replica.index.open([]), 25)
    replica.claim(Program("p"), 320, 1.0, 1e9)
    replica.in_flight = 3
    view = engine_view(replica, EngineLoad(2, 1, 0.4444), 0.5)
    assert view["capacity"] == 1600
    assert (view["reserved"], view["claimed"], view["cached"]) == (0.25, 0.45, 0.0)
    assert (view["kv_usage"], view["hits"], view["running"]) == (0.444, 0.5, 2)
    assert (view["in_flight"], view["programs"], view["alive"], view["error"]) == (3, 1, True, "")
    assert view["token_seconds"] is None
    replica.take_out(EngineUnavailable("gone"))
    assert engine_view(replica)["error"] == "gone"


@pytest.mark.parametrize("key", ["capacity", "reserved", "claimed", "cached", "kv_usage", "hits"])
def test_what_an_engine_does_not_say_is_not_known(key: str) -> None:
    assert engine_view(Replica(ScriptedEngine("x")))[key] is None
