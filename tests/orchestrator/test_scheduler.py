import random

import anyio
import pytest

from waiting import until
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import ContextExceeded, EngineUnavailable
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.policy import parse_policy
from weft.orchestrator.scheduler import Scheduler
from weft.types import Delta, Message, Request, Sampling


class Log:
    """Keeps what the scheduler tells of a call."""

    def __init__(self) -> None:
        self.engines: list[str] = []
        self.deltas: list[Delta] = []

    def on_refused(self) -> None: ...

    def on_sent(self, ticket: Ticket) -> None:
        self.engines.append(ticket.engine)

    def on_delta(self, delta: Delta) -> None:
        self.deltas.append(delta)


def call(text: str, *, model: str = "scripted", max_tokens: int = 50) -> Call:
    return Call(
        Request(
            id=text,
            model=model,
            messages=(Message("user", text),),
            tokens=tuple(text.encode()),
            sampling=Sampling(max_tokens=max_tokens),
        )
    )


def engines(n: int = 2, **kwargs) -> list[ScriptedEngine]:
    return [ScriptedEngine("answer", name=f"e{i}", **kwargs) for i in range(n)]


async def drain(scheduler: Scheduler, calls: list[Call]) -> list[Log]:
    logs = [Log() for _ in calls]
    async with anyio.create_task_group() as group:
        for one, log in zip(calls, logs, strict=True):
            group.start_soon(scheduler.run, one, log)
    return logs


async def test_calls_wait_here_not_in_the_engine():
    [engine] = engines(1, concurrency=2)
    scheduler = Scheduler([engine], parse_policy("prefix"))
    logs = await drain(scheduler, [call(f"c{i}") for i in range(7)])
    assert engine.peak == 2
    assert all(len(log.engines) == 1 for log in logs)
    assert scheduler.waiting == scheduler.in_flight == 0
    assert all(r.reserved == 0 for r in scheduler.replicas)


async def test_first_come_first_served():
    [engine] = engines(1, concurrency=1)
    scheduler = Scheduler([engine], parse_policy("prefix"))
    arrivals: list[str] = []

    async def one(name: str) -> None:
        arrivals.append(name)
        await scheduler.run(call(name), Log())

    async with anyio.create_task_group() as group:
        for i in range(7):
            group.start_soon(one, f"c{i}")
    assert [r.id for r in engine.requests] == arrivals


async def test_an_idle_engine_starts_a_call_at_once():
    scheduler = Scheduler(engines(2), parse_policy("prefix"))
    log = Log()
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler.run, call("x"), log)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        assert log.engines


async def test_siblings_follow_the_prefix_before_the_first_has_ended():
    pair = engines(2, token_seconds=0.001)
    scheduler = Scheduler(pair, parse_policy("prefix(load_tokens=1)"))
    shared = "a shared beginning that is some blocks long " * 4
    logs = await drain(scheduler, [call(shared + str(i)) for i in range(6)])
    assert len({log.engines[0] for log in logs}) == 1


async def test_load_outweighs_a_short_prefix():
    scheduler = Scheduler(engines(2, token_seconds=0.001), parse_policy("prefix(load_tokens=1000)"))
    shared = "a shared beginning that is some blocks long " * 4
    logs = await drain(scheduler, [call(shared + str(i)) for i in range(6)])
    counts = [sum(log.engines == [f"e{i}"] for log in logs) for i in range(2)]
    assert counts == [3, 3]


async def test_kv_bounds_what_runs_together_but_never_blocks_a_lone_call():
    [engine] = engines(1, kv_tokens=160, token_seconds=0.001)
    scheduler = Scheduler([engine], parse_policy("prefix"))
    await drain(scheduler, [call(f"{i}" * 20, max_tokens=50) for i in range(5)])
    assert engine.peak == 2  # 2 x (20 + 50) fit into 160, a third does not
    await drain(scheduler, [call("y" * 140)])  # more than fits with its answer, but alone
    with pytest.raises(ContextExceeded, match="500 tokens"):
        await scheduler.run(call("y" * 500), Log())


async def test_a_waiting_call_can_leave_for_free():
    engine = ScriptedEngine({"hang": Scripted(hangs=True), "b": "b"}, concurrency=1)
    scheduler = Scheduler([engine], parse_policy("prefix"))
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler.run, call("hang"), Log())
        while not engine.running:
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0.01):
            await scheduler.run(call("b"), Log())
        assert scheduler.waiting == 0
        assert len(engine.requests) == 1
        group.cancel_scope.cancel()
    assert engine.cancelled == 1
    assert scheduler.in_flight == 0
    await scheduler.run(call("b"), Log())


async def test_a_dead_engines_calls_go_elsewhere_and_none_is_lost():
    dying = ScriptedEngine("answer", name="dying", token_seconds=0.002)
    sound = ScriptedEngine("answer", name="sound", token_seconds=0.002)
    scheduler = Scheduler([dying, sound], parse_policy("prefix"))
    logs = [Log() for _ in range(8)]
    async with anyio.create_task_group() as group:
        for i, log in enumerate(logs):
            group.start_soon(scheduler.run, call(f"c{i}"), log)
        while not (dying.running and sound.running):
            await anyio.lowlevel.checkpoint()
        dying.kill()
    assert all(log.engines[-1] == "sound" for log in logs if "dying" in log.engines)
    assert any(log.engines == ["dying", "sound"] for log in logs)
    assert all(log.deltas[-1].finish_reason == "stop" for log in logs)
    assert scheduler.in_flight == 0


async def test_without_an_engine_left_waiting_calls_fail_at_once():
    engine = ScriptedEngine({"hang": Scripted(hangs=True)}, name="lonely", concurrency=1)
    scheduler = Scheduler([engine], parse_policy("prefix"))
    failed: list[str] = []

    async def attempt(text: str) -> None:
        try:
            await scheduler.run(call(text), Log())
        except EngineUnavailable as error:
            failed.append(str(error))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(attempt, "hang")
        while not engine.running:
            await anyio.lowlevel.checkpoint()
        engine.kill()
    assert len(failed) == 3
    assert all("lonely" in message for message in failed)


async def test_an_engine_that_answers_again_is_used_again():
    engine = ScriptedEngine("answer")
    scheduler = Scheduler([engine], parse_policy("prefix"))
    engine.kill()
    with pytest.raises(EngineUnavailable):
        await scheduler.run(call("x"), Log())
    engine.revive()
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler.watch, 0.001)
        await until(lambda: scheduler.replicas[0].alive)
        group.cancel_scope.cancel()
    await scheduler.run(call("x"), Log())


async def test_models_have_queues_of_their_own():
    big = ScriptedEngine({"hang": Scripted(hangs=True)}, model="big", concurrency=1)
    small = ScriptedEngine("answer", model="small")
    scheduler = Scheduler([big, small], parse_policy("prefix"))
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(scheduler.run, call("hang", model="big"), Log())
        await scheduler.run(call("x", model="small"), Log())
        group.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(12))
async def test_random_cancels_deaths_and_recoveries_lose_and_leak_nothing(seed):
    rng = random.Random(seed)
    fleet = engines(3, concurrency=3, token_seconds=0.0005)
    scheduler = Scheduler(fleet, parse_policy("prefix"))
    ended: dict[str, list[str]] = {}

    async def one(name: str, patience: float) -> None:
        log = Log()
        with anyio.move_on_after(patience) as scope:
            try:
                await scheduler.run(call(name), log)
                ended.setdefault(name, []).append("done")
                assert sum(d.finish_reason is not None for d in log.deltas) == 1
            except EngineUnavailable:
                ended.setdefault(name, []).append("failed")
        if scope.cancelled_caught:
            ended.setdefault(name, []).append("cancelled")

    async def havoc() -> None:
        for _ in range(6):
            await anyio.sleep(rng.random() * 0.004)
            engine = rng.choice(fleet)
            engine.kill()
            await anyio.sleep(rng.random() * 0.002)
            engine.revive()

    async with anyio.create_task_group() as outer:
        outer.start_soon(scheduler.watch, 0.001)
        async with anyio.create_task_group() as group:
            group.start_soon(havoc)
            for i in range(40):
                group.start_soon(one, f"c{i}", rng.choice([0.001, 0.01, 5.0]))
        outer.cancel_scope.cancel()
    assert sorted(ended) == sorted(f"c{i}" for i in range(40))
    assert all(len(outcomes) == 1 for outcomes in ended.values())
    assert scheduler.waiting == scheduler.in_flight == 0
    assert all(r.reserved == 0 for r in scheduler.replicas)
    assert all(e.running == e.waiting == 0 for e in fleet)
