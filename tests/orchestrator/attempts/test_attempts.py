"""One request on its way over engines that fail, are busy, die, and come back."""

from __future__ import annotations

from collections import deque
from typing import Any

import anyio
import pytest
import trio.testing

from waiting import until
from weft import Pool, Prompt, ScriptedEngine, generate, run
from weft.backends.engine import OnDelta
from weft.backends.scripted.engine import Scripted
from weft.errors import (
    EngineBusy,
    EngineError,
    EngineUnavailable,
    RequestFailed,
    RequestRejected,
    UsageError,
)
from weft.orchestrator.attempts.attempts import Attempts
from weft.orchestrator.call import Call
from weft.search import Question, parse_strategy
from weft.types import Message, Request

FAULTS: dict[str, EngineError] = {
    "a 500": RequestFailed("it answered 500", 500),
    "a connection lost": EngineUnavailable("it broke the connection"),
    "a 429": EngineBusy("it is busy (429)", 0.01),
    "a 503": EngineBusy("it is busy (503)", status=503),
    "a 400": RequestRejected("no such field"),
}


class Faulty(ScriptedEngine):
    """Fails at what has `poison` in it, and is well."""

    fault: EngineError = FAULTS["a 500"]
    sent = 0

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        if "poison" in request.messages[-1].content:
            self.sent += 1
            await anyio.lowlevel.checkpoint()
            raise self.fault
        await super().complete(request, on_delta)


async def ask(pool: Pool, text: str) -> str:
    return (await run(lambda: generate(Prompt.user(text)), pool=pool)).value.text


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("fault", FAULTS)
async def test_poison_hurts_its_sender_alone(fault: str, count: int) -> None:
    engines = [Faulty("fine", name=f"e{i}", token_seconds=0.001) for i in range(count)]
    for engine in engines:
        engine.fault = FAULTS[fault]
        engine.allow(retry={"attempts": 3, "first": 0.01})
    refused, stop = 0, anyio.Event()

    async with Pool(*engines) as pool:

        async def poisoner() -> None:
            nonlocal refused
            while not stop.is_set():
                with pytest.raises(type(FAULTS[fault])):
                    await ask(pool, "poison")
                refused += 1

        async def good(i: int) -> None:
            for j in range(4):
                assert await ask(pool, f"good {i} {j}") == "fine"

        async with anyio.create_task_group() as poison:
            for _ in range(3):
                poison.start_soon(poisoner)
            async with anyio.create_task_group() as group:
                for i in range(6):
                    group.start_soon(good, i)
            assert all(replica.alive for replica in pool.scheduler.replicas)
            stop.set()
        assert refused
        sent = sum(engine.sent for engine in engines)
        assert sent <= refused * (1 if fault == "a 400" else 2 if "4" not in fault[:3] else 99) or (
            "busy" in str(FAULTS[fault])
        )
        assert pool.scheduler.in_flight == pool.scheduler.waiting == 0


async def test_an_engine_that_fails_where_others_serve_rests_but_the_last_one_never() -> None:
    bad, good = Faulty("fine", name="bad"), ScriptedEngine("fine", name="good")
    async with Pool(bad, good, policy="round_robin") as pool:
        for i in range(20):
            assert await ask(pool, f"poison {i}") == "fine"
        assert bad.sent == 3
        assert [r.alive for r in pool.scheduler.replicas] == [False, True]
        programs = pool.scheduler.dispatcher.counters.started
        assert programs == 23
    async with Pool(bad) as pool:
        for i in range(5):
            with pytest.raises(RequestFailed):
                await ask(pool, f"poison {i}")
        assert pool.scheduler.replicas[0].alive
        assert await ask(pool, "good") == "fine"


async def test_calls_sit_out_a_short_outage() -> None:
    engine = ScriptedEngine("fine")
    async with Pool(engine) as pool, anyio.create_task_group() as group:
        engine.kill()
        answers: list[str] = []

        async def one(i: int) -> None:
            answers.append(await ask(pool, f"{i}"))

        for i in range(5):
            group.start_soon(one, i)
        await until(lambda: not pool.scheduler.replicas[0].alive)
        engine.revive()
        await until(lambda: len(answers) == 5)
    assert answers == ["fine"] * 5


async def test_a_long_outage_is_one_clear_error() -> None:
    engine = ScriptedEngine("fine", name="lonely")
    async with Pool(engine, outage=0.05) as pool:
        engine.kill()
        for _ in range(2):
            with pytest.raises(EngineUnavailable, match=r"none came back within 0\.05 s.*lonely"):
                await ask(pool, "x")
        assert pool.scheduler.waiting == 0


class Limited(ScriptedEngine):
    """Takes so many requests in any second, and answers others with 429."""

    def __init__(self, most: int, told: float | None, **more: Any) -> None:
        super().__init__("answer 1", takes_tokens=False, **more)
        self.most, self.told = most, told
        self.times = deque[float]()
        self.refused = 0

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        now = anyio.current_time()
        while self.times and self.times[0] <= now - 1:
            self.times.popleft()
        await anyio.sleep(0.005)
        if len(self.times) >= self.most:
            self.refused += 1
            raise EngineBusy("it is busy (429): rate limit", self.told)
        self.times.append(now)
        await super().complete(request, on_delta)


async def twenty_votes(engine: Limited) -> float:
    """Have 20 questions answered by 8 samples each; gives the seconds that took."""
    question = Question(prompt=Prompt.user("q"), answer=lambda t: t, complete=lambda _: True)
    async with Pool(engine) as pool:
        begun = anyio.current_time()

        async def one() -> None:
            result = await run(parse_strategy("majority(n=8)"), question, pool=pool)
            assert result.value.value is not None

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)
        return anyio.current_time() - begun


def in_virtual_time(work: Any, *arguments: Any) -> Any:
    return trio.run(work, *arguments, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("told", [1.0, None])
def test_a_limited_endpoint_answers_all_in_the_end(told: float | None) -> None:
    engine = Limited(20, told, token_seconds=0.01)
    took = in_virtual_time(twenty_votes, engine)
    assert took < 40
    assert engine.refused < 160


def test_an_engine_with_a_rate_is_never_asked_too_much() -> None:
    engine = Limited(20, 1.0, token_seconds=0.01)
    engine.allow(rate=19)  # two clocks never agree to the last digit
    took = in_virtual_time(twenty_votes, engine)
    assert engine.refused == 0
    assert took == pytest.approx(len(engine.requests) / 19, abs=0.5)


async def once(engine: ScriptedEngine) -> tuple[str, float]:
    async with Pool(engine) as pool:
        begun = anyio.current_time()
        try:
            said = await ask(pool, "x")
        except EngineBusy as error:
            said = str(error)
        return said, anyio.current_time() - begun


class Busy(ScriptedEngine):
    """Is busy so many times."""

    def __init__(self, times: int, told: float | None, **more: Any) -> None:
        super().__init__("fine", **more)
        self.left, self.told = times, told

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        if self.left:
            self.left -= 1
            raise EngineBusy("it is busy", self.told)
        await super().complete(request, on_delta)


@pytest.mark.parametrize(
    ("times", "told", "retry", "said", "least", "most"),
    [
        (1, 3.0, {}, "fine", 3.0, 3.4),
        (8, 1.0, {}, "fine", 8.0, 9.0),
        (1, 3600.0, {}, "fine", 30.0, 31.1),  # within bounds
        (1, None, {}, "fine", 0.5, 0.83),  # 0.5, up to half as much, and a tenth of that
        (99, None, {}, "it is busy", 7.5, 10.0),  # 0.5 + 1 + 2 + 4
        (99, 10.0, {}, "it is busy", 290.0, 300.0),
        (99, 1.0, {"attempts": 3}, "it is busy", 2.0, 2.3),
        (99, 1.0, {"attempts": 1}, "it is busy", 0.0, 0.1),
        (99, 5.0, {"seconds": 12}, "it is busy", 10.0, 11.1),
    ],
)
def test_a_busy_engine_is_asked_again_as_told_within_bounds(
    times: int, told: float | None, retry: dict[str, Any], said: str, least: float, most: float
) -> None:
    engine = Busy(times, told)
    engine.allow(retry=retry)
    found, took = in_virtual_time(once, engine)
    assert found == said
    assert least <= took <= most


@pytest.mark.parametrize("told", [0.01, 1.0, 7.0])
def test_requests_to_busy_engines_come_to_an_end(told: float) -> None:
    engines = [Busy(10**6, told, name=name) for name in "ab"]
    ended: list[float] = []

    async def asking(pool: Pool) -> None:
        with pytest.raises(EngineBusy):
            await ask(pool, "x")
        ended.append(anyio.current_time())

    async def all_at_once() -> None:
        async with Pool(*engines) as pool, anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(asking, pool)

    for engine in engines:
        engine.allow(retry={"attempts": 3})
    in_virtual_time(all_at_once)
    assert len(ended) == 12
    assert max(ended) - min(ended) < 120
    sent = 2 * 10**6 - sum(engine.left for engine in engines)
    assert sent <= 12 * (2 * 3 + 1)


async def test_a_call_that_waits_for_a_busy_engine_can_leave() -> None:
    engine = Busy(99, 600.0)
    async with Pool(engine) as pool:
        async with anyio.create_task_group() as group:
            group.start_soon(ask, pool, "x")
            await until(lambda: engine.left == 98)
            group.cancel_scope.cancel()
        assert pool.scheduler.in_flight == pool.scheduler.waiting == 0
        assert not pool.scheduler.dispatcher.programs
        assert engine.left == 98


class Impatient:
    """A request that is given up in the very moment in which an engine is free for it."""

    begun = False

    def __init__(self, scheduler: Any, when: str) -> None:
        self._scheduler, self._when = scheduler, when

    async def wait(self, ticket: Any, seconds: float) -> None:
        if self._when == "bound":
            await self._scheduler.bind(ticket)
        raise TimeoutError

    async def send(self, ticket: Any) -> None:
        raise AssertionError("it was given up before")

    def ending(self) -> Any:
        raise AssertionError("it was never sent")


@pytest.mark.parametrize("when", ["waiting", "bound"])
async def test_a_request_given_up_while_it_waits_leaves_nothing(when: str) -> None:
    engine = ScriptedEngine("fine", concurrency=1, token_seconds=0.01)
    async with Pool(engine) as pool, anyio.create_task_group() as group:
        scheduler = pool.scheduler
        group.start_soon(ask, pool, "first")
        while not scheduler.in_flight:  # noqa: ASYNC110
            await anyio.sleep(0.001)
        call = Call(Request("c", engine.model, (Message("user", "x"),), tokens=(1, 2)), "p")
        with pytest.raises(TimeoutError):
            await Attempts(scheduler, call, Impatient(scheduler, when)).run()
        assert scheduler.waiting == 0
        assert await ask(pool, "next") == "fine"
        assert scheduler.in_flight == 0


@pytest.mark.loops("virtual")
async def test_a_busy_engines_calls_go_to_another_at_once() -> None:
    busy, free = Busy(99, 20.0, name="busy"), ScriptedEngine("fine", name="free")
    async with Pool(busy, free, policy="round_robin") as pool:
        begun = anyio.current_time()
        for i in range(12):
            assert await ask(pool, f"{i}") == "fine"
        assert anyio.current_time() == begun
        assert all(replica.alive for replica in pool.scheduler.replicas)


async def test_an_engine_that_failed_a_request_is_not_asked_again_while_others_are_busy() -> None:
    failing, busy = Faulty("fine", name="failing"), Busy(1, 0.05, name="busy")
    async with Pool(failing, busy, policy="round_robin") as pool:
        assert await ask(pool, "poison") == "fine"
    assert failing.sent == 1


async def test_a_request_counts_once_however_often_it_was_sent() -> None:
    engine = Busy(3, 0.01)
    async with Pool(engine) as pool:
        counted: list[int] = []

        async def two() -> None:
            await generate(Prompt.user("a"))
            await generate(Prompt.user("b"))
            counted.extend(p.calls for p in pool.scheduler.dispatcher.programs.values())

        await run(two, pool=pool)
        assert counted == [2]


@pytest.mark.loops("virtual")
@pytest.mark.parametrize("tokens", [True, False])
async def test_an_answer_without_end_comes_to_one(tokens: bool) -> None:
    endless = ScriptedEngine(Scripted("word ", endless=True), name="a", takes_tokens=tokens)
    async with Pool(endless, ScriptedEngine("fine", name="b", takes_tokens=tokens)) as pool:
        done = await run(lambda: generate(Prompt.user("q"), max_tokens=10), pool=pool)
    assert done.value.text == "fine"
    assert 10 < done.usage.cancelled < 400
    assert endless.running == 0
    async with Pool(endless):
        with pytest.raises(RequestFailed, match="beyond the answer's limit"):
            await generate(Prompt.user("q"), max_tokens=10)


def test_limits_of_engines_are_checked() -> None:
    settings: list[dict[str, Any]] = [
        {"rate": 0},
        {"silence": -1},
        {"concurrency": 0},
        {"retry": {"attempts": 0}},
        {"retry": {"seconds": float("inf")}},
        {"retry": {"tries": 3}},
        {"retry": {"attempts": "3"}},
    ]
    for wrong in settings:
        with pytest.raises(UsageError):
            ScriptedEngine("").allow(**wrong)
