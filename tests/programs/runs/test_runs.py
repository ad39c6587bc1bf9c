from functools import partial

import anyio
import networkx as nx

from waiting import until
from weft import Pool, Prompt, ScriptedEngine, Store, fan_out, generate, node, program, run
from weft.backends.scripted.engine import Scripted


@node
async def draft(topic: str) -> Prompt:
    return (await generate(Prompt.user(topic), stop="\n")).prompt


@node
async def finish(path: Prompt) -> str:
    return (await generate(path)).text


@program
async def story(topic: str) -> str:
    path = await draft(topic)
    ending = await finish(path)
    return (await generate(Prompt.system("Judge this.").user(ending))).text


STORY = {
    "sea": "a beginning\nand its very end",
    "and its very end": "good",
}


async def test_a_run_has_value_usage_events_and_graph():
    async with Pool(ScriptedEngine(STORY)) as pool:
        result = await run(story, "sea", pool=pool)
    assert result.value == "good"
    assert result.usage.calls == 3
    assert result.seconds >= 0
    graph = result.graph
    labels = nx.get_node_attributes(graph, "label")
    assert next(iter(labels.values())) == "story"
    assert {"draft", "finish"} <= set(labels.values())
    kinds: dict[str, set[tuple[str, str]]] = {}
    for start, end, kind in graph.edges(data="kind"):
        kinds.setdefault(kind, set()).add((start, end))
    calls = [n for n, k in graph.nodes(data="kind") if k == "call"]
    [finishing] = [n for n, label in labels.items() if label == "finish"]
    assert (calls[0], calls[1]) in kinds["prefix"]
    assert (calls[0], finishing) in kinds["data"]
    assert (calls[1], calls[2]) in kinds["data"]
    assert set(nx.get_node_attributes(graph, "status").values()) == {"done"}
    assert nx.is_directed_acyclic_graph(graph)


async def test_mermaid_shows_programs_fan_outs_and_losers():
    engine = ScriptedEngine({"a": "one", "b": Scripted(hangs=True)})

    @program
    async def first() -> str | None:
        async with fan_out(finish, [Prompt.user("a"), Prompt.user("b")]) as results:
            async for result in results:
                return result
        return None

    async with Pool(engine) as pool:
        text = (await run(first, pool=pool)).mermaid()
    assert text.startswith("flowchart TD\n")
    assert '(["first<br>' in text

    assert "finish x 2: 1 done, 1 stopped early" in text
    assert "generate (solver) x 2: 1 done, 1 stopped early" in text


async def test_nodes_are_ordinary_functions():
    @node
    async def double(x: int) -> int:
        """Twice x."""
        return 2 * x

    assert await double(2) == 4
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice x."


async def test_nested_programs_are_parts_of_the_outer_run():
    @program
    async def outer() -> str:
        return await story("sea")

    async with Pool(ScriptedEngine(STORY)) as pool:
        graph = (await run(outer, pool=pool)).graph
    programs = [n for n, k in graph.nodes(data="kind") if k == "program"]
    assert len(programs) == 2
    assert graph.edges[programs[0], programs[1]]["kind"] == "contains"


async def test_a_second_run_from_the_store_pays_nothing():
    store = Store()
    engine = ScriptedEngine(STORY)
    async with Pool(engine, store=store) as pool:
        first = await run(story, "sea", pool=pool)
        second = await run(story, "sea", pool=pool)
    assert len(engine.requests) == 3
    assert second.value == first.value
    assert second.usage == first.usage


async def test_the_same_question_twice_in_a_run_is_two_samples():
    store = Store()

    async def twice() -> list[str]:
        return [(await generate(Prompt.user("q"))).text for _ in range(2)]

    engine = ScriptedEngine(["a", "b", "c"])
    async with Pool(engine, store=store) as pool:
        assert (await run(twice, pool=pool)).value == ["a", "b"]
        assert (await run(twice, pool=pool)).value == ["a", "b"]
    assert len(engine.requests) == 2


async def test_a_race_replayed_from_the_store_has_the_same_winner_and_costs_nothing(tmp_path):
    speeds = {"0": 0.02, "1": 0.001, "2": 0.01, "3": 0.03}
    replies = {k: Scripted("answer " + k, seconds=s) for k, s in speeds.items()}

    @program
    async def race() -> str | None:
        async with fan_out(finish, [Prompt.user(k) for k in speeds]) as results:
            async for result in results:
                return result
        return None

    with Store(tmp_path / "s.sqlite") as store:
        async with Pool(ScriptedEngine(replies), store=store) as pool:
            first = await run(race, pool=pool)
    assert first.value is not None
    assert first.usage.calls == 4
    replies[first.value[-1]] = Scripted(hangs=True)  # now every other one would be faster
    engine = ScriptedEngine(replies)
    with Store(tmp_path / "s.sqlite") as store:
        async with Pool(engine, store=store) as pool:
            second = await run(race, pool=pool)
    assert second.value == first.value
    assert second.usage == first.usage
    assert engine.requests == []


async def test_results_come_back_in_the_order_in_which_they_first_came(tmp_path):
    speeds = {"0": 0.02, "1": 0.001, "2": 0.01}
    replies = {k: Scripted("x" + k, seconds=s) for k, s in speeds.items()}

    async def all_of_them() -> list[str]:
        async with fan_out(finish, [Prompt.user(k) for k in speeds]) as results:
            return [r async for r in results]

    orders = []
    for _ in range(2):
        with Store(tmp_path / "s.sqlite") as store:
            async with Pool(ScriptedEngine(replies), store=store) as pool:
                orders.append((await run(all_of_them, pool=pool)).value)
        for i, k in enumerate(reversed(orders[0])):  # now the last would be the first
            replies[k[1:]] = Scripted(k, seconds=0.01 * i)
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == ["x0", "x1", "x2"]


async def test_an_interrupted_run_goes_on_and_pays_for_the_rest_only(tmp_path):
    prompts = [Prompt.user(str(i)) for i in range(6)]
    engine = ScriptedEngine({str(i): f"a{i}" for i in range(6)})

    async def ask(upto: int) -> list[str]:
        return [(await generate(p)).text for p in prompts[:upto]]

    with Store(tmp_path / "s.sqlite") as store:
        async with Pool(engine, store=store) as pool:
            await run(ask, 4, pool=pool)
    with Store(tmp_path / "s.sqlite") as store:
        async with Pool(engine, store=store) as pool:
            result = await run(ask, 6, pool=pool)
    assert result.value == [f"a{i}" for i in range(6)]
    assert len(engine.requests) == 6


async def test_what_a_dying_engine_had_produced_is_in_the_usage():
    dying = ScriptedEngine({"q": Scripted("x" * 30, dies_after=10)}, name="dying")
    sound = ScriptedEngine({"q": "x" * 30}, name="sound")

    async def ask() -> str:
        return (await generate(Prompt.user("q"))).text

    async with Pool(dying, sound) as pool:
        result = await run(ask, pool=pool)
    assert result.value == "x" * 30
    assert result.usage.calls == 2
    assert result.usage.completion == 31
    assert result.usage.cancelled == 10
    assert result.usage.prompt == 2 * 3


async def test_a_loser_that_had_finished_unread_costs_the_same_in_a_rerun(tmp_path):
    @program
    async def first_of_two_that_are_done() -> str | None:
        async with fan_out(finish, [Prompt.user("0"), Prompt.user("1")]) as results:
            while pool.scheduler.in_flight or pool.scheduler.waiting or len(store) < 2:
                await anyio.lowlevel.checkpoint()
            async for result in results:
                return result
        return None

    @program
    async def first_of_two() -> str | None:
        async with fan_out(finish, [Prompt.user("0"), Prompt.user("1")]) as results:
            async for result in results:
                return result
        return None

    engine = ScriptedEngine({"0": "a", "1": "b"})
    with Store(tmp_path / "s.sqlite") as store:
        async with Pool(engine, store=store) as pool:
            first = await run(first_of_two_that_are_done, pool=pool)
    with Store(tmp_path / "s.sqlite") as store:
        async with Pool(engine, store=store) as pool:
            second = await run(first_of_two, pool=pool)
    assert second.value == first.value
    assert second.usage == first.usage
    assert first.usage.calls == len(engine.requests) == 2


async def test_what_is_cancelled_anyway_is_not_sent() -> None:
    engine = ScriptedEngine(Scripted("never", hangs=True))

    async def stubborn() -> None:
        try:
            await generate(Prompt.user("first"))
        finally:
            await generate(Prompt.user("another, to clean up"))

    async with Pool(engine) as pool:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(run, stubborn, pool=pool))
            await until(lambda: engine.running)
            tasks.cancel_scope.cancel()
        assert not pool.scheduler.in_flight
    assert len(engine.requests) == engine.cancelled == 1
