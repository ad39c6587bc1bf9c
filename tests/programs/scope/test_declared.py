"""What programs declare, beside what they do."""

import contextlib
import logging
from functools import partial

import pytest

from weft import (
    Pool,
    Prompt,
    ScriptedEngine,
    Store,
    fan_out,
    generate,
    node,
    program,
    run,
)
from weft.errors import UsageError
from weft.programs.figures.stages import declared_graph
from weft.programs.scope.declaration import declare, declared
from weft.programs.scope.observed import _told


@pytest.fixture(autouse=True)
def nothing_told():
    _told.clear()


@node(calls=1, tokens=50)
async def plan() -> str:
    return (await generate(Prompt.user("plan"))).text


@node(width=3)
async def attempt(i: int) -> str:
    return (await generate(Prompt.user(f"attempt {i}"))).text


@node
async def judge() -> str:
    return (await generate(Prompt.user("judge"))).text


async def course(width: int = 3, judged: bool = True) -> None:
    await plan()
    async with fan_out(attempt, range(width)) as answers:
        assert len([answer async for answer in answers]) == width
    if judged:
        await judge()


async def differences(marked, *args: object) -> list[str]:
    async with Pool(ScriptedEngine("ok")) as pool:
        return (await run(marked, *args, pool=pool)).differences


async def test_a_run_as_declared_has_no_differences(caplog):
    chain = program(stages=[plan, attempt, "judge"], calls=5)(course)
    assert await differences(chain) == []
    free = program(stages={"plan": attempt, "attempt": [judge, None]}, tokens=100)(course)
    assert await differences(free) == []
    assert await differences(free, 3, False) == []
    assert await differences(program(course)) == []
    assert not caplog.records


async def test_a_run_inside_another_hands_its_differences_up():
    inner = program(calls=1)(course)

    async def outer() -> list[str]:
        return (await run(inner, pool=pool)).differences

    async with Pool(ScriptedEngine("ok")) as pool:
        done = await run(outer, pool=pool)
    assert done.differences == done.value == ["course made 5 calls, and declares calls=1"]


@pytest.mark.parametrize(
    ("given", "args", "sentence"),
    [
        ({"calls": 4}, (), "course made 5 calls, and declares calls=4"),
        ({"calls": 11}, (), "course made 5 calls, and declares calls=11"),
        ({"tokens": 10}, (), "course took 61 tokens, and declares tokens=10"),
        ({"stages": [plan, attempt]}, (), "course calls in judge, which is none of its"),
        ({"stages": [attempt, plan, judge]}, (), "course comes to plan at its beginning, as not"),
        ({"stages": [plan, judge, attempt]}, (), "course comes to attempt after plan, as not"),
        ({"stages": [plan, attempt, judge]}, (3, False), "course ended after attempt, as not"),
        ({"stages": [plan, attempt, judge]}, (2,), "attempt of course ran 2 wide, and declares"),
    ],
)
async def test_differences_are_named(given, args, sentence):
    found = await differences(program(**given)(course), *args)
    assert any(one.startswith(sentence) for one in found), found


async def test_calls_of_a_node_are_looked_at():
    @node(calls=1)
    async def twice() -> None:
        await generate(Prompt.user("a"))
        await generate(Prompt.user("b"))

    @program(stages=[twice])
    async def whole() -> None:
        async with fan_out(lambda _: twice(), range(4)) as results:
            assert [one async for one in results] == [None] * 4

    assert await differences(whole) == ["twice of whole made 2 calls, and declares calls=1"]


async def test_a_difference_is_logged_once_and_is_no_error(caplog):
    marked = program(calls=4)(course)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert len(await differences(marked)) == 1
    assert [r.getMessage() for r in caplog.records] == ["course made 5 calls, and declares calls=4"]


async def test_a_run_from_a_store_is_the_same():
    marked = program(stages=[plan, attempt, judge], calls=5, tokens=61)(course)
    async with Pool(ScriptedEngine("ok"), store=Store()) as pool:
        for _ in range(2):
            assert (await run(marked, pool=pool)).differences == []


async def test_sub_agents_have_declarations_of_their_own():
    inner = program(calls=1)(course)

    @program(calls=1)
    async def outer() -> None:
        await judge()
        await inner()

    async with Pool(ScriptedEngine("ok")) as pool:
        done = await run(outer, pool=pool)
        assert done.differences == ["course made 5 calls, and declares calls=1"]
        async with fan_out(inner, [3, 3], programs=True) as results:
            assert len([one async for one in results]) == 2


async def test_the_scheduler_hears_of_calls_and_tokens():
    left: list[tuple[float | None, float | None]] = []

    @program(calls=9, tokens=100)
    async def told() -> None:
        (own,) = pool.scheduler.dispatcher.programs.values()
        known = pool.scheduler.profiles.remaining(own)
        left.append((known.calls, known.tokens))

    async with Pool(ScriptedEngine("ok")) as pool:
        await run(told, pool=pool)
    assert left == [(9, 100)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"calls": 0}, "@program calls=0 must be a whole number above 0"),
        ({"tokens": 1.5}, "@program tokens=1.5 must be a whole number"),
        ({"stages": []}, "@program stages are empty"),
        ({"stages": "plan"}, "@program stages='plan' must be a list"),
        ({"stages": [1]}, "@program stages must be names or functions, not 1"),
        ({"stages": 5}, "@program stages=5 must be a list"),
        ({"stages": {"a", "b"}}, "must be a list"),  # has no order
        ({"stages": {"a": (x for x in "bc")}}, "must be names or functions"),
    ],
)
def test_what_can_not_be_declared(given, words):
    with pytest.raises(UsageError, match=words):
        program(**given)
    with pytest.raises(UsageError, match="@node width=True"):
        node(width=True)


async def yields():
    yield 1


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        (3, r"marks an async function, not 3; .* as in @node\(calls=3\)"),
        ([plan], "marks an async function, not"),
        (yields, "yields yields several"),
    ],
)
def test_what_can_not_be_marked(marked, words):
    with pytest.raises(UsageError, match=words):
        node(marked)


async def test_a_node_that_is_not_async_is_told_when_it_runs():
    @program
    async def whole() -> None:
        await node(len)("abc")  # pyright: ignore

    async with Pool(ScriptedEngine("ok")) as pool:
        with pytest.raises(UsageError, match="@node len must be an async function"):
            await run(whole, pool=pool)


def test_plain_data():
    assert declare("@program", stages=[plan, "b", plan]).follow == {
        "plan": ("b", ""),
        "b": ("plan",),
    }
    assert declare("@program", stages={"a": ["b", None]}).follow == {"a": ("b", ""), "b": ("",)}
    assert declare("@program", stages={partial(plan): []}).follow == {"plan": ("",)}
    assert declared(plan).tokens == 50
    assert declared(judge) is declared(len)


def test_what_is_declared_is_drawn():
    marked = program(stages={plan: attempt, attempt: judge, judge: [attempt, None]}, calls=12)(
        course
    )
    graph = declared_graph(marked)
    assert [data["label"] for _, data in graph.nodes(data=True)] == [
        "course\n12 calls", "plan\n1 call, 50 tokens", "attempt x 3", "judge", "end",
    ]  # fmt: skip
    names = {node: data["label"].split("\n")[0] for node, data in graph.nodes(data=True)}
    assert [(names[a], names[b]) for a, b in graph.edges] == [
        ("course", "plan"), ("plan", "attempt x 3"), ("attempt x 3", "judge"),
        ("judge", "attempt x 3"), ("judge", "end"),
    ]  # fmt: skip
    assert declared_graph(program(stages=["judge"])(course)).nodes["judge"]["label"] == "judge"
    assert list(declared_graph(course)) == [""]


async def test_a_run_that_a_store_answers_in_part_teaches_its_whole_course(tmp_path):
    fails = [True, False, False]

    @program
    async def whole() -> None:
        await course()
        if fails.pop(0):
            raise OSError("away")
        await judge()

    learned: list[int] = []
    for _ in range(3):
        with Store(tmp_path / "s.sqlite") as store:
            async with Pool(ScriptedEngine("ok"), store=store) as pool:
                with contextlib.suppress(OSError):
                    await run(whole, pool=pool)
                graph = pool.scheduler.profiles.graphs.get("whole")
                assert graph is not None
                learned.append(graph.count)
    assert learned == [1, 2, 2]  # what is answered whole was learned from before
    stages = graph.stages()
    tokens = {name: stage.tokens for name, stage in stages.items()}
    assert {name: (s.visits, s.calls, s.width) for name, s in stages.items() if name} == {
        "plan": (1, 1, 1),
        "attempt": (1, 3, 3),
        "judge": (1.5, 1, 1),
    }
    assert tokens["attempt"] > 3 * tokens["plan"] > 0
