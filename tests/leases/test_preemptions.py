"""What leases hold never keeps a request from room: vLLM schedules as it would without them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vllm_scheduling import LEASES, OFFLOADING, Scheduling, Step, foreign, several
from weft.leases.directive import Directive

few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
flights = st.sampled_from([1, 2])
ids = st.sampled_from("abc")
directives = st.builds(
    Directive,
    lease=ids,
    supersedes=st.booleans(),
    turn=st.sampled_from(["", "1", "2"]),
    seconds=st.sampled_from([5.0, 600.0]),
    next_use=st.sampled_from([1.0, 50.0]),
    lost=st.booleans(),
    release=st.lists(ids, max_size=1).map(tuple),
    forget=st.lists(ids, max_size=1).map(tuple),
)


@dataclass(frozen=True)
class Ask:
    """So many samples of a prompt that goes on from a conversation's beginning."""

    conversation: int
    blocks: int
    write: int
    samples: int
    keep: Directive
    priority: int


asks = st.builds(
    Ask,
    conversation=st.integers(0, 2),
    blocks=st.integers(0, 9),
    write=st.integers(1, 70),
    samples=st.sampled_from([1, 1, 1, 3]),
    keep=directives,
    priority=st.integers(0, 2),
)
traffic = st.lists(
    st.one_of(
        asks,
        asks,
        st.tuples(st.just("steps"), st.integers(1, 30)),
        st.tuples(st.just("abort"), st.integers(0, 20)),
        st.tuples(st.just("reset"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 10.0])),
    ),
    min_size=4,
    max_size=30,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The leases' time, which stands still unless it is moved."""
    connector = pytest.importorskip("weft.leases.connector")
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(connector, "time", clock)
    return clock


def play(vllm: Scheduling, happenings: list[Any], clock: Any, *, alike: bool) -> list[Step]:
    """What the scheduler does; prompts share beginnings if they are `alike`."""
    steps: list[Step] = []
    asked: list[str] = []
    for happening in happenings:
        match happening:
            case Ask():
                for sample in range(happening.samples):
                    number = happening.conversation if alike else len(asked)
                    prompt = foreign(number, happening.blocks)
                    asked.append(f"{len(asked)}-{sample}")
                    vllm.ask(asked[-1], prompt, happening.write, happening.keep, happening.priority)
            case ("steps", count):
                steps += [vllm.step() for _ in range(count) if vllm.busy]
            case ("abort", which) if asked:
                vllm.abort(asked[which % len(asked)])
            case ("reset", running):
                vllm.scheduler.reset_prefix_cache(reset_running_requests=running)
            case ("wait", seconds):
                clock.now += seconds
    return steps + vllm.finish()


@few
@given(
    happenings=traffic,
    flight=flights,
    policy=st.sampled_from(["fcfs", "priority"]),
    connectors=st.sampled_from(
        [(None, LEASES), (several(OFFLOADING), several(OFFLOADING, LEASES))]
    ),
)
def test_the_same_requests_are_scheduled_and_preempted_as_without_leases(
    flight: int, policy: str, connectors: Any, clock: Any, happenings: list[Any]
) -> None:
    how: dict[str, Any] = {"flight": flight, "policy": policy, "reading": False}
    without, with_leases = (
        play(Scheduling(one, **how), happenings, clock, alike=True) for one in connectors
    )
    assert with_leases == without


@few
@given(happenings=traffic, flight=flights)
def test_who_was_preempted_finds_what_it_would_find_without_leases(
    flight: int, clock: Any, happenings: list[Any]
) -> None:
    # Where no prompts are alike, only who was preempted finds anything: its own blocks.
    held = [holding(one) if isinstance(one, Ask) else one for one in happenings]
    without = play(Scheduling(flight=flight), held, clock, alike=False)
    assert play(Scheduling(LEASES, flight=flight), held, clock, alike=False) == without


def holding(ask: Ask) -> Ask:
    """Without words that forget: what is forgotten first lets others find more."""
    said = ask.keep
    return replace(ask, keep=Directive(said.lease, seconds=said.seconds, release=said.release))


@few
@given(happenings=traffic, flight=flights)
def test_nothing_waits_or_is_preempted_while_unused_blocks_would_do(
    flight: int, clock: Any, happenings: list[Any]
) -> None:
    vllm = Scheduling(LEASES, flight=flight)
    play(vllm, happenings, clock, alike=True)
    assert not vllm.needless
    clock.now += 3600
    vllm.ask("last", foreign(90, 1), keep=Directive())
    vllm.finish()
    assert vllm.answers["last"]["weft"]["all_held"] == 0
    free = vllm.pool.free_block_queue
    assert free.held == 0
    assert len(free.get_all_free_blocks()) == free.num_free_blocks == vllm.blocks - 1
