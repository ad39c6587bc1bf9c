"""An engine that another process serves: its cache, its claims and its speed are forgotten."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.vllm.metrics import ProcessWatch
from weft.errors import EngineUnavailable
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.programs.program import Program
from weft.orchestrator.scheduler import Scheduler
from weft.types import Delta, Message, Request, Sampling


class Restarting(ScriptedEngine):
    """An engine that can be restarted, which is seen when it is asked whether it is well."""

    restarted = 0

    async def healthy(self) -> bool:
        self.process = self.restarted
        return True


class Ignore:
    def __init__(self) -> None:
        self.sent = anyio.Event()

    def on_sent(self, ticket: Ticket) -> None:
        self.sent.set()

    def on_delta(self, delta: Delta) -> None: ...

    def on_refused(self) -> None: ...


def call(program: str, number: int) -> Call:
    prompt, sampling = tuple(range(320)), Sampling(max_tokens=8)
    message = Message("user", "")
    request = Request(f"{program}.{number}", "m", (message,), tokens=prompt, sampling=sampling)
    return Call(request, program)


def scheduler_of(*engines: ScriptedEngine, **options: Any) -> Scheduler:
    from weft.orchestrator.policy import parse_policy

    return Scheduler(engines, parse_policy("sticky"), **options)


async def known(scheduler: Scheduler) -> None:
    """Have a program leave its prompt, a claim and times on the only engine."""
    scheduler.begin(Program("p"))
    for number in range(4):
        await scheduler.run(call("p", number), Ignore())


async def test_what_is_believed_of_a_process_ends_with_it(anyio_backend: str) -> None:
    engine = Restarting("yes", model="m", prompt_seconds=1e-5, token_seconds=1e-4)
    scheduler = scheduler_of(engine)
    (replica,) = scheduler.replicas
    await known(scheduler)
    program = scheduler.dispatcher.programs["p"]
    ticket = Ticket(call("p", 9), program, 9, 0.0, 8, lambda: None)
    assert replica.cached(ticket) >= 304
    assert (program.home, replica.programs) == (replica, 1)
    assert replica.decode_seconds(1) > 0
    # The same process is asked: nothing changes.
    assert not await scheduler.check(replica, EngineUnavailable("it hung up"))
    assert replica.cached(ticket) >= 304
    engine.restarted = 7
    assert not await scheduler.check(replica, EngineUnavailable("it hung up"))
    assert replica.cached(ticket) == 0
    assert (program.home, program.claim) == (None, 0)
    assert (replica.programs, replica.claimed, replica.attached) == (0, 0, 0)
    assert replica.decode_seconds(1) == replica.prefill_seconds(100) == 0
    await known(scheduler)  # and is learned anew
    assert replica.cached(ticket) >= 304


async def test_calls_that_run_meanwhile_end_as_they_would(anyio_backend: str) -> None:
    engine = Restarting("yes", model="m", token_seconds=0.01)
    scheduler = scheduler_of(engine)
    (replica,) = scheduler.replicas
    async with anyio.create_task_group() as group:
        follower = Ignore()
        group.start_soon(scheduler.run, call("p", 0), follower)
        await follower.sent.wait()
        engine.restarted = 1
        await scheduler.check(replica, EngineUnavailable("it hung up"))
        assert replica.in_flight == 1
    assert (replica.in_flight, replica.reserved) == (0, 0)


def metrics(start: float | None, served: float) -> str:
    lines = [f'vllm:prompt_tokens_total{{engine="0",model_name="m"}} {served}']
    if start is not None:
        lines.append(f"process_start_time_seconds {start}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("seen", "numbers"),
    [
        ([(5.0, 10.0), (5.0, 10.0), (5.0, 90.0)], [0, 0, 0]),
        ([(5.0, 10.0), (6.0, 10.0), (6.0, 11.0), (7.5, 0.0)], [0, 1, 1, 2]),
        ([(None, 10.0), (None, 20.0), (None, 3.0), (None, 3.0)], [0, 0, 1, 1]),
    ],
)
def test_a_start_that_moves_and_a_counter_that_falls_are_another_process(
    seen: list[tuple[float | None, float]], numbers: list[int]
) -> None:
    watch, found = ProcessWatch(), list[int]()
    for start, served in seen:
        watch.note(metrics(start, served))
        found.append(watch.number)
        watch.note("")  # metrics that can't be read say nothing
        assert watch.number == found[-1]
    assert found == numbers
