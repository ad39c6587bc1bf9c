from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import anyio
import pytest
import trio.testing
from anyio.abc import TaskStatus

from weft.backends.simulated.engine import SimulatedEngine, SimulatedRequest
from weft.backends.simulated.hardware import CPU34M, Hardware, Linear
from weft.backends.timeline import Timeline
from weft.cache.prefix import PrefixIndex
from weft.errors import ContextExceeded, EngineUnavailable, Unsupported, UsageError
from weft.leases.directive import Directive
from weft.types import Delta, Message, Request, Sampling

T = TypeVar("T")
STEP, TOKEN, SEQUENCE = 1.0, 0.01, 0.1  # seconds
NOTHING = Directive()
LINES = Linear(fixed=STEP, prefill_token=TOKEN, decode=SEQUENCE, kv_tokens=1000)


def virtual(main: Callable[[], Awaitable[T]]) -> T:
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(main, backend="trio", backend_options={"clock": clock})


def ask(prompt: int, answer: int, blocks: Sequence[int] = (), id: str = "r") -> SimulatedRequest:
    return SimulatedRequest(id, "simulated", (), prompt=prompt, answer=answer, blocks=blocks)


@dataclass
class Seen:
    """What a caller saw of one call; times count from the beginning."""

    deltas: list[tuple[float, Delta]] = field(default_factory=list)
    ended: float | None = None
    error: Exception | None = None

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.deltas]

    @property
    def tokens(self) -> int:
        return sum(delta.count for _, delta in self.deltas)

    @property
    def cached(self) -> int | None:
        return self.deltas[-1][1].cached_tokens


async def call(engine: SimulatedEngine, request: Request, seen: Seen, begun: float = 0.0) -> None:
    try:
        await engine.complete(
            request, lambda delta: seen.deltas.append((anyio.current_time() - begun, delta))
        )
    except EngineUnavailable as error:
        seen.error = error
    seen.ended = anyio.current_time() - begun


def serve(
    *calls: tuple[float, Request] | tuple[float, Request, float],
    hardware: Hardware = LINES,
    then: Callable[[SimulatedEngine, float], Awaitable[None]] | None = None,
    **settings: Any,
) -> tuple[list[Seen], SimulatedEngine]:
    """Send requests at times, and cancel them at others, in virtual time."""
    settings = {"block_size": 10, "keep_log": True} | settings
    seen = [Seen() for _ in calls]

    async def main() -> SimulatedEngine:
        async with Timeline() as timeline:
            engine = SimulatedEngine(timeline, hardware, **settings)
            await engine.connect()
            begun = timeline.now

            async def one(i: int, *, task_status: TaskStatus[None]) -> None:
                at, request, *until = calls[i]
                task_status.started()
                with anyio.move_on_after(until[0] - at if until else float("inf")):
                    await call(engine, request, seen[i], begun)

            async def feed() -> None:
                for i in sorted(range(len(calls)), key=lambda i: calls[i][0]):
                    await anyio.sleep(begun + calls[i][0] - timeline.now)
                    await tasks.start(one, i)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(feed)
                if then is not None:
                    await then(engine, begun)
            load = await engine.load()
            assert (load.running, load.waiting, load.kv_usage) == (0, 0, 0)
            return engine

    return seen, virtual(main)


def test_a_cold_prompt_comes_in_chunks() -> None:
    (seen,), engine = serve((0, ask(100, 21)), batched_tokens=40, concurrency=4)
    first = 3 * STEP + 100 * TOKEN
    last = first + 20 * (STEP + SEQUENCE)
    assert seen.times == pytest.approx([first, last])
    begin, end = (delta for _, delta in seen.deltas)
    assert begin == Delta(count=1)
    assert end == Delta(count=20, finish_reason="length", prompt_tokens=100, cached_tokens=0)
    counters = engine.counters
    assert (counters.steps, counters.prefilled, counters.generated) == (23, 100, 21)
    assert counters.busy == pytest.approx(last)
    (record,) = engine.log
    assert (record.arrived, record.entered) == (record.arrived, record.arrived)
    assert record.first_token is not None
    assert record.first_token - record.arrived == pytest.approx(first)
    assert record.ended - record.arrived == pytest.approx(last)
    assert (record.outcome, record.generated, record.cached) == ("done", 21, 0)


@pytest.mark.parametrize("answer", [1, 2])
def test_the_shortest_answers(answer: int) -> None:
    (seen,), engine = serve((0, ask(7, answer)))
    assert len(seen.deltas) == answer
    assert seen.tokens == engine.counters.generated == answer
    assert seen.deltas[-1][1].finish_reason == "length"
    assert seen.ended == pytest.approx(STEP + 7 * TOKEN + (answer - 1) * (STEP + SEQUENCE))


@pytest.mark.parametrize("n", [1, 2, 8, 32])
def test_batching_speeds_up_as_the_closed_form_says(n: int) -> None:
    seen, engine = serve(*[(0, ask(5, 51))] * n, kv_tokens=10_000)
    prefill = STEP + 5 * n * TOKEN
    total = prefill + 50 * (STEP + n * SEQUENCE)
    assert [one.times for one in seen] == [pytest.approx([prefill, total])] * n
    alone = STEP + 5 * TOKEN + 50 * (STEP + SEQUENCE)
    speedup = n * alone / total
    assert speedup == pytest.approx(n * engine.counters.busy / total * alone / total)
    assert engine.counters.most_running == n


def test_who_comes_waits_for_the_end_of_the_step() -> None:
    decode = STEP + SEQUENCE
    first = STEP + 10 * TOKEN
    # While the first decodes its third token, and while it computes its prompt.
    for at, boundary in ((first + 2.5 * decode, first + 3 * decode), (0.5, first)):
        seen, _ = serve((0, ask(10, 11)), (at, ask(20, 2)))
        mixed = STEP + SEQUENCE + 20 * TOKEN
        assert seen[1].times[0] == pytest.approx(boundary + mixed)
        assert seen[1].times[1] == pytest.approx(boundary + mixed + STEP + 2 * SEQUENCE)
        steps = round((boundary - first) / decode)
        rest = 10 - steps - 2  # alone again
        assert seen[0].times[1] == pytest.approx(seen[1].times[1] + rest * decode)
    # Who can't enter anyway disturbs nobody.
    seen, engine = serve((0, ask(10, 11)), (3.3, ask(20, 2)), concurrency=1)
    assert seen[0].times[1] == pytest.approx(first + 10 * decode)
    assert seen[1].times[0] == pytest.approx(first + 10 * decode + STEP + 20 * TOKEN)
    assert engine.counters.most_running == 1


def test_hits_are_whole_blocks_and_never_the_last_token() -> None:
    blocks = [*range(100)]
    requests = [(95, 1), (95, 1), (90, 1), (89, 1), (9, 1), (120, 31), (150, 1), (151, 1)]
    seen, engine = serve(
        *[(100.0 * i, ask(p, a, blocks[: (p + a) // 10])) for i, (p, a) in enumerate(requests)]
    )
    # The 120 + 31 leave 150 tokens behind: the last one sampled is never computed.
    assert [one.cached for one in seen] == [0, 90, 80, 80, 0, 90, 140, 150]
    assert engine.counters.hit == 630
    assert engine.counters.prefilled == sum(p for p, _ in requests) - 630


def test_hits_are_those_of_the_index() -> None:
    """One after the other, the engine and a bare `PrefixIndex` agree on every hit."""
    randomly = random.Random(5)
    index = PrefixIndex(60)
    requests: list[SimulatedRequest] = []
    expected: list[int] = []
    for i in range(300):
        prompt, answer = randomly.randint(1, 300), randomly.randint(1, 100)
        group = randomly.randrange(6)
        shared = randomly.randint(0, prompt // 10)
        blocks = [
            group * 1000 + j if j < shared else 10_000 + i * 100 + j
            for j in range((prompt + answer) // 10)
        ]
        requests.append(ask(prompt, answer, blocks))
        hold = index.open(blocks, (prompt - 1) // 10)
        expected.append(hold.blocks * 10)
        computed = prompt + answer - 1
        assert index.grow(hold, blocks, computed // 10)
        index.private(hold, -(-computed // 10) - computed // 10)
        index.close(hold)
    seen, _ = serve(*[(1000.0 * i, request) for i, request in enumerate(requests)], kv_tokens=600)
    assert [one.cached for one in seen] == expected
    assert 0 < sum(expected) < sum(request.prompt for request in requests)


def test_requests_with_tokens() -> None:
    tokens = tuple(range(35))
    plain = Request("p", "simulated", (), tokens=tokens, sampling=Sampling(max_tokens=25))
    seen, engine = serve((0, plain), (500, plain), (1000, Request("q", "m", (), tokens=tokens)))
    assert [one.tokens for one in seen] == [25, 25, 256]
    assert [one.cached for one in seen] == [0, 30, 30]
    seen, _ = serve((0, Request("q", "m", (), tokens=tokens)), kv_tokens=100)
    assert seen[0].tokens == 65  # as far as they fit
    assert engine.takes_tokens


def test_cancelling_takes_effect_at_the_end_of_the_step() -> None:
    decode = STEP + SEQUENCE
    blocks = [*range(30)]
    # In the second of four chunks: two of them stay cached.
    seen, engine = serve(
        (0, ask(160, 5, blocks[:16]), STEP + 41 * TOKEN + 0.5),
        (0, ask(20, 1, ())),
        (100, ask(160, 1, blocks[:16])),
        batched_tokens=40,
        concurrency=4,
    )
    assert seen[0].deltas == []
    assert seen[1].times == [pytest.approx(3 * STEP + 100 * TOKEN)]
    assert seen[2].cached == 80
    assert [record.outcome for record in engine.log] == ["cancelled", "done", "done"]
    # While it decodes: what it had generated is told, and what it computed is cached.
    first = STEP + 10 * TOKEN
    seen, engine = serve(
        (0, ask(10, 100, blocks[:11]), first + 25.5 * decode),
        (first + 25.6 * decode, ask(20, 2)),
        (200, ask(50, 1, blocks[:5])),
    )
    assert [delta.count for _, delta in seen[0].deltas] == [1, 25]
    assert seen[0].deltas[-1][1].finish_reason is None
    assert seen[1].times[0] == pytest.approx(first + 26 * decode + STEP + 20 * TOKEN)
    assert seen[2].cached == 30  # 10 + 26 tokens were computed
    assert engine.counters.generated == 1 + 26 + 2 + 1


def test_a_cancelled_one_makes_room() -> None:
    decode = STEP + SEQUENCE
    first = STEP + 10 * TOKEN
    seen, _ = serve(
        (0, ask(10, 90), first + 5.5 * decode),
        (1, ask(99, 2)),  # has no room beside it
        (2, ask(10, 2), 3),  # leaves the queue
        kv_tokens=100,
    )
    assert seen[1].times[0] == pytest.approx(first + 6 * decode + STEP + 99 * TOKEN)
    assert seen[2].deltas == []


def test_preempted_answers_go_on_where_they_were() -> None:
    # Two that fit at first, and together outgrow the cache.
    seen, engine = serve(
        (0, ask(20, 70, [*range(9)], "a")), (0, ask(20, 70, [*range(20, 29)], "b")), kv_tokens=120
    )
    counters = engine.counters
    assert counters.preemptions == 1
    assert [one.tokens for one in seen] == [70, 70]
    assert counters.generated == 140
    assert [[delta.count for _, delta in one.deltas] for one in seen] == [[1, 69], [1, 69]]
    assert [one.cached for one in seen] == [0, 0]
    # The victim had 60 tokens in the cache, the newest of which were its own to lose: the
    # other one's last 30 tokens took 3 of its blocks.
    assert counters.prefilled + counters.hit == 40 + 61
    assert counters.hit == 30
    assert seen[1].times[1] > seen[0].times[1]
    assert counters.most_used == 12


def test_killed_and_revived() -> None:
    blocks = [*range(6)]

    async def then(engine: SimulatedEngine, begun: float) -> None:
        await anyio.sleep(5)
        engine.kill()
        assert not await engine.healthy()
        with pytest.raises(EngineUnavailable, match="revive"):
            await engine.complete(ask(5, 1), lambda _: None)
        with pytest.raises(EngineUnavailable):
            await engine.connect()
        await anyio.sleep(20)
        assert engine.counters.steps == 3
        engine.revive()
        assert await engine.healthy()
        seen = Seen()
        await call(engine, ask(60, 2, blocks), seen, begun)
        assert seen.cached == 0  # the cache is lost
        assert seen.times[0] == pytest.approx(25 + STEP + 60 * TOKEN)

    seen, engine = serve(
        (0, ask(60, 50, blocks)), (0, ask(60, 50), 2.0), (4.9, ask(900, 1)), then=then
    )
    for one in (seen[0], seen[2]):
        assert isinstance(one.error, EngineUnavailable)
        assert one.ended == pytest.approx(5)
    assert seen[0].tokens == 3
    outcomes = [record.outcome for record in engine.log]
    assert outcomes == ["cancelled", "lost", "lost", "done"]


def test_an_idle_engine_wakes_nobody() -> None:
    async def then(engine: SimulatedEngine, begun: float) -> None:
        await anyio.sleep(1000)
        woken = engine._timeline.wakeups
        await anyio.sleep(50_000)
        assert engine._timeline.wakeups == woken
        assert engine.counters.busy == pytest.approx(2 * STEP + 30 * TOKEN + SEQUENCE)

    serve((3, ask(30, 2)), then=then)


def test_load() -> None:
    async def then(engine: SimulatedEngine, begun: float) -> None:
        await anyio.sleep(2.5)
        load = await engine.load()
        assert (load.running, load.waiting) == (2, 1)
        assert load.kv_usage == pytest.approx(7 / 10)  # 22 and 31 tokens

    serve((0, ask(21, 5)), (0, ask(30, 5)), (0, ask(5, 5)), concurrency=2, kv_tokens=100, then=then)


def test_the_callers_own_errors_are_the_callers() -> None:
    async def main() -> None:
        async with Timeline() as timeline:
            engine = SimulatedEngine(timeline, LINES, block_size=10)

            def fail(delta: Delta) -> None:
                raise ZeroDivisionError

            async def failing() -> None:
                with pytest.raises(ZeroDivisionError):
                    await engine.complete(ask(10, 10), fail)

            seen = Seen()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(failing)
                tasks.start_soon(call, engine, ask(10, 10), seen)
            assert seen.tokens == 10
            assert engine.counters.generated == 11

    virtual(main)


def test_bad_input() -> None:
    async def main() -> None:
        async with Timeline() as timeline:
            engine = SimulatedEngine(timeline, LINES, name="small", kv_tokens=109, block_size=10)
            assert engine.context == 100

            async def refused(request: Request, error: type[Exception], match: str) -> None:
                with pytest.raises(error, match=match):
                    await engine.complete(request, lambda _: None)

            await refused(
                ask(80, 22, id="big"), ContextExceeded, r"big needs 102 tokens.*holds 100"
            )
            await engine.complete(ask(80, 21), lambda _: None)
            await refused(ask(0, 5), UsageError, "at least 1")
            await refused(ask(5, 0), UsageError, "at least 1")
            await refused(ask(9, 9, [1, 2]), UsageError, "2 blocks of 10")
            texts = Request("t", "simulated", (Message("user", "hi"),))
            await refused(texts, Unsupported, "token ids")
            wrong: list[dict[str, Any]] = [{"block_size": 0}, {"concurrency": 0}, {"kv_tokens": 5}]
            for settings in wrong:
                with pytest.raises(UsageError, match="at least 1"):
                    SimulatedEngine(timeline, LINES, **settings)
            with pytest.raises(UsageError, match="batched_tokens=8"):
                SimulatedEngine(timeline, LINES, concurrency=9, batched_tokens=8)

    virtual(main)


Arrival = tuple[float, SimulatedRequest] | tuple[float, SimulatedRequest, float]


def crowd(seed: int, n: int = 300) -> list[Arrival]:
    randomly = random.Random(seed)
    calls: list[Arrival] = []
    at = 0.0
    for i in range(n):
        at += randomly.expovariate(0.2)
        prompt, answer = randomly.randint(1, 300), randomly.randint(1, 60)
        group, shared = randomly.randrange(9), randomly.randint(0, 20)
        total = (prompt + answer) // 10
        blocks = [group * 1000 + j if j < shared else 10_000 + i * 100 + j for j in range(total)]
        made = ask(prompt, answer, blocks, f"r{i}")
        calls.append((at, made, at + randomly.expovariate(0.05)) if i % 5 == 0 else (at, made))
    return calls


def test_the_same_requests_give_the_same_log() -> None:
    logs = [serve(*crowd(1), kv_tokens=600, concurrency=8)[1].log for _ in range(2)]
    assert logs[0] == logs[1]
    assert {record.outcome for record in logs[0]} == {"done", "cancelled"}


def test_no_work_is_lost_and_no_time() -> None:
    """The engine works exactly while there is something to do (work conservation)."""
    calls = [(call[0], call[1]) for call in crowd(2) if len(call) == 2]
    seen, engine = serve(*calls, kv_tokens=600, concurrency=8)
    requests = [request for _, request in calls]
    assert [one.tokens for one in seen] == [r.answer for r in requests]
    counters = engine.counters
    assert counters.preemptions > 0
    assert counters.generated == sum(r.answer for r in requests)
    busy, until = 0.0, 0.0
    for record in sorted(engine.log, key=lambda record: record.arrived):
        busy += max(0.0, record.ended - max(record.arrived, until))
        until = max(until, record.ended)
    assert counters.busy == pytest.approx(busy)
    assert counters.most_used <= 60


async def test_in_real_time() -> None:
    """On any event loop, if the clock is not virtual."""
    hardware = Linear(fixed=0.001, kv_tokens=1000)
    async with Timeline() as timeline:
        engine = SimulatedEngine(timeline, hardware, block_size=10)
        seen = [Seen() for _ in range(5)]
        async with anyio.create_task_group() as tasks:
            for one in seen:
                tasks.start_soon(call, engine, ask(30, 20, [1, 2, 3]), one)
        assert [one.tokens for one in seen] == [20] * 5
        assert engine.counters.busy > 0.0199
        with anyio.move_on_after(0.005):
            await engine.complete(ask(30, 900), lambda _: None)
        one = Seen()
        await call(engine, ask(30, 2, [1, 2, 3]), one)
        assert one.cached == 20


def test_measured_time_to_the_first_token() -> None:
    """The preset of the real replicas gives back what was measured there."""
    blocks = [*range(46)]
    seen, _ = serve(
        (0, ask(1500, 2, blocks)), (10, ask(1500, 2, blocks)), hardware=CPU34M, block_size=32
    )
    assert [one.times[0] for one in seen] == pytest.approx([0.516, 10.029], rel=0.01)


def test_an_engine_with_leases_forgets_last_what_it_is_to_keep() -> None:
    async def main(leases: bool) -> tuple[int | None, int | None]:
        async with Timeline() as timeline:
            engine = SimulatedEngine(timeline, LINES, block_size=10, leases=leases)
            await engine.connect()
            seen: list[Seen] = []

            async def send(first: int, keep: Directive = NOTHING) -> int | None:
                request = ask(201, 9, range(first, first + 20), id=f"{first}")
                seen.append(Seen())
                await call(engine, replace(request, keep=keep.json()), seen[-1])
                return seen[-1].cached

            await send(0, Directive("a"))
            for number in range(1, 6):  # together more than the cache
                await send(100 * number)
            kept = await send(0, Directive("a"))
            for number in range(6, 11):
                await send(100 * number, Directive(release=("a",)))
            return kept, await send(0)

    assert virtual(lambda: main(True)) == (200, 0)
    assert virtual(lambda: main(False)) == (0, 0)
