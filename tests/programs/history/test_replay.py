"""What a rerun from a Store costs, in steps of the event loop, and what it sends again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
import trio

from weft import Limits, Pool, Prompt, budget, fan_out, generate, run, score
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import BudgetExceeded
from weft.orchestrator.policies.weft import Weft
from weft.orchestrator.policy import Order, policy
from weft.orchestrator.views import CallView, View
from weft.search import Answer, Question, Strategy, parse_strategy
from weft.store.store import Store


async def ask(i: int) -> str:
    return (await generate(Prompt.user(f"{i}"), max_tokens=4)).text


async def ask_all(count: int) -> list[str]:
    async with fan_out(ask, range(count)) as answers:
        return [answer async for answer in answers]


class _Steps(trio.abc.Instrument):
    count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


@contextmanager
def steps() -> Iterator[_Steps]:
    """Counts what the event loop runs within the block."""
    counted = _Steps()
    try:
        loop: Any = asyncio.get_running_loop()
    except RuntimeError:
        trio.lowlevel.add_instrument(counted)
        yield counted
        trio.lowlevel.remove_instrument(counted)
        return
    call_soon = loop.call_soon

    def counting(*args: Any, **kwargs: Any) -> asyncio.Handle:
        counted.count += 1
        return call_soon(*args, **kwargs)

    loop.call_soon = counting
    yield counted
    loop.call_soon = call_soon


async def test_a_result_from_the_store_takes_few_steps_however_many_there_are(tmp_path):
    each: list[float] = []
    async with Pool(ScriptedEngine("yes")) as pool:
        for count in (40, 160):
            with Store(tmp_path / f"{count}") as store:
                await run(ask_all, count, pool=pool, store=store)
                with steps() as counted:
                    again = await run(ask_all, count, pool=pool, store=store)
            assert again.value == ["yes"] * count
            each.append(counted.count / count)
    assert each[1] < 1.2 * each[0]
    assert each[1] < 15


async def test_reruns_side_by_side_do_not_keep_each_other_busy(tmp_path):
    async with Pool(ScriptedEngine("yes")) as pool:
        with Store(tmp_path / "s") as store:
            await run(ask_all, 40, pool=pool, store=store)
            with steps() as alone:
                await run(ask_all, 40, pool=pool, store=store)
            with steps() as together:
                async with anyio.create_task_group() as tasks:
                    for _ in range(6):
                        tasks.start_soon(lambda: run(ask_all, 40, pool=pool, store=store))
    assert together.count < 8 * alone.count


async def test_a_result_is_waited_for_however_many_steps_a_program_takes_to_it(tmp_path):
    """The first to come in passes its result through many hands, and is the first all the same."""

    async def passed_on(i: int) -> int:
        await ask(i)
        for _ in range(200 if i == 1 else 0):
            await anyio.lowlevel.checkpoint()
        return i

    async def first() -> int:
        async with fan_out(passed_on, range(2)) as numbers:
            return await anext(numbers)

    replies = {"0": Scripted("no", seconds=0.5), "1": Scripted("yes")}
    engine = ScriptedEngine(replies)
    with Store(tmp_path / "s") as store:
        async with Pool(engine, store=store) as pool:
            assert (await run(first, pool=pool)).value == 1
            assert (await run(first, pool=pool)).value == 1
    assert len(engine.requests) == 2


@pytest.mark.loops("asyncio")
async def test_a_long_chain_is_resumed(tmp_path):
    async def chain(steps: int) -> int:
        prompt = Prompt.user("go")
        for _ in range(steps):
            prompt = (await generate(prompt, max_tokens=1)).prompt
        return len(prompt.answer)

    engine = ScriptedEngine(lambda request: "x")
    with Store(tmp_path / "s") as store:
        async with Pool(engine) as pool:
            await run(chain, 1200, pool=pool, store=store)
    with Store(tmp_path / "s") as store:
        async with Pool(engine) as pool:
            assert (await run(chain, 1201, pool=pool, store=store)).value == 1201
    assert len(engine.requests) == 1201


@pytest.mark.loops("virtual")
@pytest.mark.parametrize("before", [0.0, 1.0, 40.0])
async def test_no_loser_is_sent_again_while_a_tool_is_slower_than_the_first_time(before):
    """A race of agents that each call, use a tool, and call again."""

    async def race(tool: float) -> int:
        async def agent(i: int) -> int:
            await anyio.sleep(before * i)
            await ask(i)
            await anyio.sleep(tool)
            await ask(i + 10)
            return i

        async with fan_out(agent, range(3)) as agents:
            return await anext(agents)

    def reply(request: Any) -> Scripted:
        return Scripted("yes", seconds=1 + 2 * (int(request.messages[-1].content) % 10))

    engine = ScriptedEngine(reply)
    async with Pool(engine, store=Store()) as pool:
        first = await run(race, 0.5, pool=pool)
        sent = len(engine.requests)
        for tool in (5.0, 55.0):
            again = await run(race, tool, pool=pool)
            assert again.value == first.value == 0
            assert again.usage == first.usage
    assert len(engine.requests) == sent


@pytest.mark.loops("virtual")
async def test_a_program_that_became_another_gets_new_answers_soon():
    """What it asked first is not asked any more, and nothing of it is at work elsewhere."""

    async def race(numbers: list[int]) -> int:
        async def one(i: int) -> int:
            await ask(i)
            return i

        async with fan_out(one, numbers) as found:
            return await anext(found)

    replies = {"0": Scripted("a", seconds=5), "1": Scripted("b", seconds=4), "2": Scripted("c")}
    engine = ScriptedEngine(replies)
    async with Pool(engine, store=Store()) as pool:
        assert (await run(race, [0, 1, 2], pool=pool)).value == 2
        begun = anyio.current_time()
        assert (await run(race, [0, 1], pool=pool)).value == 1
        assert anyio.current_time() - begun < 2 * 4 + 3


@pytest.mark.loops("virtual")
async def test_samples_that_have_ended_are_not_taken_for_work():
    """One of two samples is known, and what once followed it is not asked any more."""

    async def sampled(n: int, *then: int) -> int:
        found = await generate(Prompt.user("0"), n=n, max_tokens=4)
        for i in then:
            await ask(i)
        return len(found)

    async with Pool(ScriptedEngine("a"), store=Store()) as pool:
        assert (await run(sampled, 1, 1, pool=pool)).value == 1
        begun = anyio.current_time()
        assert (await run(sampled, 2, pool=pool)).value == 2
        assert anyio.current_time() - begun < 3


@pytest.mark.loops("virtual")
async def test_scores_that_have_ended_are_not_taken_for_work():
    """Of an option's positions some are known, and what once followed is not asked any more."""

    async def scored(options: list[str], *then: int) -> dict[str, float]:
        found = await score(Prompt.user("0"), options, role="solver")
        for i in then:
            await ask(i)
        return found

    engine = ScriptedEngine("a", {"yes": 0.6, "no": 0.3, "not": 0.1})
    async with Pool(engine, store=Store()) as pool:
        first = (await run(scored, ["yes"], 1, pool=pool)).value
        begun = anyio.current_time()
        second = (await run(scored, ["yes", "not"], pool=pool)).value
        assert anyio.current_time() - begun < 3
    assert first["yes"] == second["yes"] == pytest.approx(0.6)
    assert second["not"] == pytest.approx(0.1)


@pytest.mark.loops("virtual")
async def test_what_is_new_waits_for_earlier_results_behind_a_tool():
    """The later of two results comes up first, for the other one's branch works with a tool."""

    async def both(more: bool) -> None:
        async def branch(i: int) -> None:
            if i == 1:
                await anyio.sleep(3)
            await ask(i)
            if more and i == 0:
                await ask(7)

        async with fan_out(branch, range(2)) as done:
            async for _ in done:
                pass

    def reply(request: Any) -> Scripted:
        return Scripted("a", seconds=9.0 if request.messages[-1].content == "0" else 0.1)

    async with Pool(ScriptedEngine(reply), store=Store()) as pool:
        await run(both, False, pool=pool)
        done = await run(both, True, pool=pool)
    ends = [(event.kind, event.data.get("stored")) for event in done.events]
    assert ends.index(("sent", None)) > max(
        at for at, end in enumerate(ends) if end == ("done", True)
    )


@pytest.mark.loops("virtual")
async def test_a_run_keeps_its_name_and_its_deadline_however_long_it_is_silent():
    seen: list[tuple[str, float | None, int | None]] = []

    @policy("watching")
    class Watching(Weft):
        def order(self, call: CallView, view: View) -> Order:
            program = call.program
            seen.append((program.name, program.deadline, program.most_calls))
            return Weft.order(self, call, view)

    async def slow() -> None:
        await ask(0)
        await anyio.sleep(5 * 600)
        await ask(1)

    async with Pool(ScriptedEngine("yes"), policy=Watching(), lease=600) as pool:
        begun = anyio.current_time()
        await run(slow, pool=pool, budget=Limits(seconds=4000, calls=3))
    assert seen == [("slow", begun + 4000, 3)] * 2


def _searched() -> tuple[ScriptedEngine, Question]:
    """An engine that gives two answers in turn, and a question about which it is asked."""
    answers = itertools.cycle(["a\n\nb", "c\n\nd"])

    def reply(request: Any) -> Scripted:
        judged = request.messages[-1].content.startswith("good?")
        return Scripted("yes" if judged else next(answers), seconds=1.0)

    question = Question(
        Prompt.user("0"),
        lambda text: text or None,
        lambda text: False,
        verify=lambda text: Prompt.user(f"good? {'a' in text}"),
        steps="\n\n",
        max_steps=3,
    )
    return ScriptedEngine(reply, {"yes": 0.6, "no": 0.4}), question


@pytest.mark.loops("virtual")
@pytest.mark.parametrize("same", [True, False])
async def test_another_search_does_not_wait_for_the_results_of_the_one_before(same: bool):
    """One verdict is known, and another one is new, for which two parts wait."""
    engine, question = _searched()

    async def solve(strategy: Strategy) -> Answer:
        return await strategy(question)

    async def seconds(pool: Pool, spec: str) -> float:
        begun = anyio.current_time()
        strategy = parse_strategy(spec)
        await (run(solve, strategy, pool=pool) if same else run(strategy, question, pool=pool))
        return anyio.current_time() - begun

    second = "beam(n=4, width=2, verifier=model)"
    async with Pool(engine) as pool:
        alone = await seconds(pool, second)
    async with Pool(engine, store=Store()) as pool:
        await seconds(pool, "best_of_n(n=1, verifier=model)")
        behind = await seconds(pool, second)
    assert behind <= alone + (3 if same else 0)


@pytest.mark.parametrize("by", ["a tool", "a timeout"])
async def test_a_call_that_lost_to_something_else_is_not_paid_for_again(by: str):
    engine = ScriptedEngine("slow", token_seconds=60)

    async def race(i: int) -> str:
        if i:
            while not engine.requests:  # noqa: ASYNC110 - the engine tells nobody
                await anyio.sleep(0.001)
            await anyio.sleep(0.02)
            return "the tool"
        return (await generate(Prompt.user("q"))).text

    async def lose() -> str:
        if by == "a timeout":
            with anyio.move_on_after(0.3):
                return (await generate(Prompt.user("q"))).text
            return "in time"
        async with fan_out(race, range(2)) as answers:
            return await anext(answers)

    async with Pool(engine, store=Store()) as pool:
        first = await run(lose, pool=pool)
        again = await run(lose, pool=pool)
    assert first.value == again.value
    assert len(engine.requests) == 1


async def _work(i: int) -> str:
    """Call, use a tool for two seconds, and call again."""
    first = await ask(i)
    await anyio.sleep(2)
    return first + await ask(i + 10)


async def _tool_wins() -> str:
    async def race(i: int) -> str:
        if i:
            await anyio.sleep(3.5)
            return "tool"
        return await _work(1)

    async with fan_out(race, range(2)) as found:
        return await anext(found)


async def _tool_loses() -> list[str]:
    async def race(i: int) -> str:
        if i:
            await anyio.sleep(5.5)
            return "tool"
        return await _work(1)

    async with fan_out(race, range(2), quorum=2) as found:
        return [one async for one in found]


async def _timeout_in_a_tool() -> str:
    with anyio.move_on_after(3.5):
        return await _work(1)
    return "timeout"


async def _timeout_beside_a_loser() -> str:
    async def race(i: int) -> str:
        with anyio.move_on_after(1.5 if i else None):
            return await ask(i + 3)
        return "timeout"

    async with fan_out(race, range(2)) as found:
        return await anext(found)


async def _seconds_end_in_a_tool() -> str:
    try:
        with budget(seconds=3.7):
            return await _work(1)
    except BudgetExceeded as over:
        return over.resource


async def _seconds_end_in_an_answer_beside_a_tool() -> list[str]:
    async def one(i: int) -> str:
        if i:
            await anyio.sleep(5)
            return "tool"
        try:
            with budget(seconds=2.2):
                return await ask(3)
        except BudgetExceeded as over:
            return over.text  # what the answer had by then

    async with fan_out(one, range(2)) as found:
        return [each async for each in found]


async def _refused_before_another_ends() -> list[str]:
    async def one(i: int) -> str:
        try:
            with budget(calls=1):
                return await ask(i + 1) + await ask(i + 11)
        except BudgetExceeded:
            return f"{i} is over"

    async with fan_out(one, range(3)) as found:
        return [each async for each in found]


@pytest.mark.loops("virtual")
@pytest.mark.parametrize(
    "program",
    [
        _tool_wins,
        _tool_loses,
        _timeout_in_a_tool,
        _timeout_beside_a_loser,
        _seconds_end_in_a_tool,
        _seconds_end_in_an_answer_beside_a_tool,
        _refused_before_another_ends,
    ],
)
async def test_a_repeated_run_takes_the_same_course_at_no_cost(program: Any):
    def reply(request: Any) -> Scripted:
        asked = int(request.messages[-1].content)
        return Scripted(f"{asked:04}", seconds=(asked % 10) * 0.5)

    engine = ScriptedEngine(reply)
    async with Pool(engine, store=Store()) as pool:
        first = await run(program, pool=pool)
        sent = len(engine.requests)
        again = await run(program, pool=pool)
    assert (again.value, again.usage) == (first.value, first.usage)
    assert len(engine.requests) == sent
    assert again.seconds <= first.seconds + 0.001
