"""What a program announces, as a policy is told of it."""

import math
from dataclasses import dataclass

import anyio
import anyio.lowlevel
import pytest

from waiting import PATIENCE
from weft import (
    Limits,
    Pool,
    Prompt,
    ScriptedEngine,
    budget,
    fan_out,
    generate,
    node,
    program,
    run,
    score,
    waiting,
)
from weft.backends.scripted.engine import Scripted
from weft.concurrency import now
from weft.errors import UsageError
from weft.orchestrator.policy import Order, Placement, Policy, Retention
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View


@dataclass
class Seen:
    """A call as a policy saw it."""

    stage: str
    siblings: int
    width: int
    quorum: int
    deadline: float | None
    calls_left: int | None
    tool: str
    program: Program
    most_calls: int | None


class Spy(Policy):
    """Notes what it is asked about."""

    def __init__(self) -> None:
        self.calls: list[Seen] = []
        self.asked: list[tuple[str, str, float | None]] = []

    def order(self, call: CallView, view: View) -> Order:
        group, own = call.group, call.program
        self.calls.append(
            Seen(
                call.stage,
                call.siblings,
                group.width if group else 1,
                group.quorum if group else 1,
                call.deadline,
                call.calls_left,
                own.tool,
                own,
                own.most_calls,
            )
        )
        return Order((), "")

    def place(self, call: CallView, view: View) -> Placement:
        return Placement(view.engines[0], "")

    def retain(self, program: Program, engine: object, view: View) -> Retention:
        self.asked.append((program.name, program.tool, program.expects))
        return Retention(math.inf, "")


@node
async def ask(x: object) -> str:
    return (await generate(Prompt.user(str(x)))).text


async def test_width_concurrency_and_quorum_of_fan_outs_samples_and_scores():
    spy = Spy()
    engine = ScriptedEngine("Yes", scores={"ab": 0.5, "cd": 0.25})
    async with Pool(engine, policy=spy) as pool:

        async def limited() -> None:
            async with fan_out(ask, range(3), limit=1, quorum=2) as results:
                assert len([one async for one in results]) == 2

        await run(limited, pool=pool)
        seen = spy.calls[0]
        assert (seen.siblings, seen.width, seen.quorum) == (1, 3, 2)
        spy.calls.clear()
        await run(generate, Prompt.user("x"), n=3, pool=pool)
        assert [(s.siblings, s.width, s.quorum) for s in spy.calls] == [(3, 3, 3)] * 3
        spy.calls.clear()
        await run(score, Prompt.user("x"), ["ab", "cd"], pool=pool)  # a, c; b after a; d after c
        assert {(s.siblings, s.width) for s in spy.calls} == {(3, 3)}
        spy.calls.clear()
        await run(ask, "alone", pool=pool)
        assert [(s.siblings, s.width) for s in spy.calls] == [(1, 1)]


async def test_a_group_counts_what_has_ended_and_knows_the_group_around_it():
    engine = ScriptedEngine({"slow": Scripted(hangs=True), "fast": "x"})
    spy, groups = Spy(), []

    async def several(text: str) -> None:
        await generate(Prompt.user(text), n=2)
        scope_group = spy.calls[-1].program  # the same program for all
        assert scope_group.name == "outer"

    class Keeping(Spy):
        def order(self, call: CallView, view: View) -> Order:
            groups.append(call.group)
            return spy.order(call, view)

    async def outer() -> None:
        async with fan_out(several, ["fast", "slow"]) as results:
            async for _ in results:
                return

    async with Pool(engine, policy=Keeping()) as pool:
        await run(outer, pool=pool)
    assert len({id(g) for g in groups}) == 2
    around = groups[0].outer
    assert around is not None
    assert all(g.outer is around for g in groups)
    assert (around.width, around.quorum, around.ended) == (2, 2, 1)
    assert sorted(g.ended for g in {id(g): g for g in groups}.values()) == [0, 2]


async def test_the_quorum_may_grow_while_results_are_read_and_the_rest_is_cancelled():
    engine = ScriptedEngine({"slow": Scripted(hangs=True), "a": "useless", "b": "good"})
    read: list[str] = []

    async def first_good() -> None:
        async with fan_out(ask, ["a", "b", "slow"], quorum=1) as results:
            async for text in results:
                read.append(text)
                if "good" not in read:
                    results.quorum += 1

    async with Pool(engine) as pool:
        done = await run(first_good, pool=pool)
        assert engine.running == pool.scheduler.in_flight == 0
    assert "good" in read
    assert len(read) <= 2
    assert [e.kind for e in done.events if e.id.startswith("fan_out")] == ["fan_out", "done"]
    with pytest.raises(UsageError, match="quorum=0 must be at least 1"):
        fan_out(ask, [], quorum=0)


async def test_budgets_tell_their_deadlines_and_what_they_leave():
    spy = Spy()

    async def nested() -> None:
        await ask(1)
        with budget(seconds=50, calls=2):
            await ask(2)
            await ask(3)
        await ask(4)

    async with Pool(ScriptedEngine("ok"), policy=spy) as pool:
        begun = now()
        await run(nested, pool=pool, budget=Limits(seconds=90, calls=7))
    seconds = [s.deadline - begun if s.deadline is not None else 0 for s in spy.calls]
    assert seconds[0] == seconds[3] >= 90 > seconds[1] == seconds[2] >= 50
    assert [s.calls_left for s in spy.calls] == [7, 2, 1, 4]
    assert [s.most_calls for s in spy.calls] == [7, 3, 3, 7]


async def test_a_branch_budget_binds_its_calls_and_not_the_program():
    spy = Spy()

    async def branch(calls: int) -> None:
        with budget(calls=calls):
            await ask(calls)

    async def branches() -> None:
        async with fan_out(branch, [3, 4]) as results:
            assert len([one async for one in results]) == 2

    async with Pool(ScriptedEngine("ok"), policy=spy) as pool:
        await run(branches, pool=pool)
    assert sorted(s.calls_left or 0 for s in spy.calls) == [3, 4]
    assert {s.most_calls for s in spy.calls} == {None}


async def test_tools_go_by_their_own_names_and_their_room_is_asked_for_anew():
    spy = Spy()

    @node
    async def pytest_() -> None:
        await anyio.lowlevel.checkpoint()

    async def tools() -> None:
        await ask(1)
        await pytest_()  # nobody knows yet that it is a tool
        await ask(2)
        await pytest_()
        await ask(3)
        async with waiting("make", expects=20):
            pass
        await ask(4)
        await ask(5)

    async with Pool(ScriptedEngine("ok"), policy=spy) as pool:
        await run(tools, pool=pool)
        profiles = pool.scheduler.profiles
        assert profiles.knows_tool("tools", "pytest_")
        assert profiles.knows_tool("tools", "make")
        assert not profiles.knows_tool("tools", "ask")
    assert [s.tool for s in spy.calls] == ["", "pytest_", "pytest_", "make", ""]
    assert spy.asked == [
        ("tools", "", None),
        ("tools", "", None),
        ("tools", "pytest_", None),
        ("tools", "", None),
        ("tools", "make", 20),
        ("tools", "", None),
        ("tools", "", None),
    ]


async def test_what_a_program_expects_is_what_its_tool_takes_by_now():
    told: list[str] = []

    class Asking(Spy):
        def retain(self, program: Program, engine: object, view: View) -> Retention:
            told.append(view.profiles.away(program).source)
            return Retention(0, "")

    async def tools() -> None:
        await ask(1)
        async with waiting("make", expects=20):
            pass

    async with Pool(ScriptedEngine("ok"), policy=Asking()) as pool:
        await run(tools, pool=pool)
    assert told[1] == "announced: 20 s"
    assert told[0].startswith("no experience")


async def test_a_tool_that_is_cancelled_or_makes_calls_teaches_nothing():
    @node
    async def slow() -> None:
        await anyio.sleep_forever()

    async def tools() -> None:
        await ask(1)
        with anyio.move_on_after(0.01):
            await slow()
        async with waiting("human"):
            await ask(2)

    async with Pool(ScriptedEngine("ok")) as pool:
        done = await run(tools, pool=pool)
        assert not pool.scheduler.profiles.knows_tool("tools", "slow")
        assert pool.scheduler.profiles.knows_tool("tools", "human")
    ends = [e.kind for e in done.events if e.id.startswith("node")]
    assert ends.count("cancelled") == 1
    with pytest.raises(UsageError, match="expects=0 must be"):
        async with waiting("make", expects=0):
            pass
    with pytest.raises(UsageError, match="needs the name"):
        async with waiting(""):
            pass
    async with waiting("outside any pool"):
        pass


@program(calls=2)
async def sub_agent(task: str) -> str:
    first = await generate(Prompt.user(task))
    return (await generate(first.prompt.user("go on"))).text


async def test_sub_agents_are_programs_of_their_own_within_the_parents_budget():
    spy = Spy()

    @program(calls=2)
    async def agent() -> None:
        main = (await generate(Prompt.user("x" * 400))).prompt
        async with fan_out(sub_agent, ["a", "b"], programs=True) as results:
            assert len([one async for one in results]) == 2
        await sub_agent("c")
        (mine,) = pool.scheduler.dispatcher.programs.values()
        assert mine.calls == 1
        assert mine.context > 400
        assert mine.claim == mine.context
        await generate(main.user("go on"))

    async with Pool(ScriptedEngine("abc", kv_tokens=9000), policy=spy) as pool:
        done = await run(agent, pool=pool, budget=Limits(calls=8, seconds=60))
        assert not pool.scheduler.dispatcher.programs
    assert done.usage.calls == 8
    programs = {id(s.program): s.program for s in spy.calls}
    (parent,) = [p for p in programs.values() if p.parent is None]
    children = [p for p in programs.values() if p.parent is not None]
    assert (parent.name, parent.expected_calls, parent.calls) == ("agent", 2, 2)
    assert [p.name for p in children] == ["sub_agent"] * 3
    assert {(p.parent, p.calls, p.expected_calls) for p in children} == {(parent, 2, 2)}
    assert all(p.context < 100 and p.deadline is not None for p in children)
    assert children[0].most_calls == 7
    assert ("agent", "sub_agent", None) in spy.asked
    branches = [s for s in spy.calls if s.width == 2]
    assert len(branches) == 4
    assert {s.siblings for s in branches} == {1}
    assert done.graph.number_of_nodes() == 1 + 1 + 1 + 3 * 3 + 1
    with pytest.raises(UsageError, match="calls=0 must be a whole number above 0"):
        program(calls=0)


@pytest.mark.parametrize(
    "policy", ["weft", "cap(k=1)", "sticky", "thunderagent", "saga", "continuum", "fcfs"]
)
async def test_no_child_waits_for_the_room_of_its_parent(policy: str):
    async def agent() -> int:
        await ask("x" * 300)
        async with fan_out(sub_agent, ["a" * 200, "b" * 200], programs=True) as results:
            return len([one async for one in results])

    engines = [ScriptedEngine("abc", name=name, kv_tokens=640) for name in "ab"]
    async with Pool(*engines, policy=policy) as pool:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(lambda: run(agent, pool=pool))
        assert not pool.scheduler.dispatcher.programs


async def test_a_program_called_outside_any_run_is_one_of_its_own():
    spy = Spy()
    async with Pool(ScriptedEngine("abc"), policy=spy):
        await sub_agent("a")
        await sub_agent("b")
    assert len({id(s.program) for s in spy.calls}) == 2


async def test_policies_are_told_what_a_program_has_before_it():
    before: list[tuple[str, float | None, tuple[float, float] | None]] = []

    class Reader(Spy):
        def order(self, call: CallView, view: View) -> Order:
            known = view.profiles
            left, judge = known.remaining(call.program), known.steps_to(call.program, "judge")
            before.append((call.stage, left.calls, judge))
            return Order((), "")

    @node
    async def judge() -> None:
        await generate(Prompt.user("which?"))

    @program
    async def pick() -> None:
        await generate(Prompt.user("plan"))
        async with fan_out(ask, range(3), limit=1) as answers:
            assert len([answer async for answer in answers]) == 3
        await judge()

    async with Pool(ScriptedEngine("abc"), policy=Reader()) as pool:
        for _ in range(5):
            await run(pick, pool=pool)
        assert {(left, steps) for _, left, steps in before} == {(None, None)}
        before.clear()
        await run(pick, pool=pool)
    # A call that comes has not ended, so it is among those that remain.
    assert before == [
        ("pick", 5, (1, 2)),
        ("ask", 4, (1, 1)),
        ("ask", 3, (1, 1)),
        ("ask", 2, (1, 1)),
        ("judge", 1, (0, math.inf)),
    ]


async def asked(text: str) -> Prompt:
    return (await generate(Prompt.user(text), max_tokens=5)).prompt


async def in_a_fan_out(texts: list[str]) -> None:
    async with fan_out(asked, texts) as answers:
        assert len([one async for one in answers]) == len(texts)


async def one_by_one(texts: list[str]) -> None:
    async with fan_out(asked, texts, limit=1) as answers:
        assert len([one async for one in answers]) == len(texts)


async def unannounced(texts: list[str]) -> None:
    async with anyio.create_task_group() as group:
        for text in texts:
            group.start_soon(asked, text)


class Apart(Policy):
    """The first call goes to the first engine, all others to the second."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, str]] = []

    def place(self, call: CallView, view: View) -> Placement:
        return Placement(view.engines[call.program.calls > 0], "")

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        self.kept.append((program.context, engine.name))
        return Retention(60, "")


@pytest.mark.parametrize("branches", [in_a_fan_out, one_by_one, unannounced])
@pytest.mark.parametrize("size", [4, 400])
async def test_a_programs_context_is_what_it_comes_back_to(branches, size: int):
    async def agent() -> None:
        prompt = await asked("x" * size)
        await branches(["one", "another", "y" * 100])
        prompt = (await generate(prompt.user("go on"), max_tokens=5)).prompt
        await generate(prompt.user("or so"), max_tokens=5, n=2)

    policy = Apart()
    async with Pool(*[ScriptedEngine("abc", name=n) for n in "ab"], policy=policy) as pool:
        await run(agent, pool=pool)
    trunk = (size + 6, "a")
    assert list(dict.fromkeys(policy.kept)) == [trunk, (size + 17, "b"), (size + 28, "b")]
    assert policy.kept.count(trunk) >= 2
