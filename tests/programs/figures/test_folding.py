"""What a figure of a run says of its spans."""

from typing import Any

import anyio
import pytest

from weft import (
    Limits,
    Pool,
    Prompt,
    Run,
    ScriptedEngine,
    Store,
    budget,
    fan_out,
    generate,
    node,
    program,
    run,
)
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded
from weft.programs.figures.folding import Fold, Folding, folded_graph
from weft.programs.figures.graph import graph_of
from weft.programs.figures.spans import spans_of
from weft.programs.history.event_file import read_events, write_events


@node
async def ask(text: object) -> str:
    return (await generate(Prompt.user(str(text)))).text


@node
async def look(text: str) -> str:
    return text.upper()


def titles(folds: list[Fold]) -> list[str]:
    return [fold.title for fold in folds]


def inside(done: Run[Any]) -> list[Fold]:
    """What the one program of a run consists of."""
    (whole,) = Folding(done.spans).within(None)
    return whole.inside


async def test_a_fan_out_left_with_enough_is_no_failure():
    @program
    async def propose() -> None:
        async with fan_out(ask, [*range(23), "never"], quorum=23) as answers:
            assert len([answer async for answer in answers]) == 23

    engine = ScriptedEngine({"never": Scripted(hangs=True)} | {str(i): "ok" for i in range(23)})
    async with Pool(engine) as pool:
        done = await run(propose, pool=pool)
    (fold,) = inside(done)
    assert fold.title == "ask x 24: 23 done, 1 stopped early"
    assert fold.status == "done"
    assert titles(fold.inside) == ["generate (solver) x 24: 23 done, 1 stopped early"]
    assert fold.engines == {"scripted": 24}
    assert fold.usage == done.usage
    assert fold.costs.endswith("tokens, on scripted x 24")
    assert fold.seconds is not None
    assert {span.status for span in done.spans.values()} == {"done", "stopped"}
    drawn = done.graph
    (fanned,) = [n for n, kind in drawn.nodes(data="kind") if kind == "fan_out"]
    assert drawn.nodes[fanned]["status"] == "done"


async def test_branches_that_are_no_nodes_are_counted_too():
    async def plain(text: str) -> str:
        return (await generate(Prompt.user(text))).text

    async def first() -> str:
        async with fan_out(plain, ["a", "never", "never"]) as answers:
            async for answer in answers:
                return answer
        raise AssertionError

    engine = ScriptedEngine({"never": Scripted(hangs=True), "a": "ok"})
    async with Pool(engine) as pool:
        done = await run(first, pool=pool)
    (fold,) = Folding(done.spans).within(None)
    assert fold.title == "plain x 3: 1 done, 2 stopped early"


async def test_what_a_budget_or_an_error_ends_is_not_stopped_early():
    async def short(text: str) -> None:
        with budget(tokens=8):
            try:
                await generate(Prompt.user(text))
            except BudgetExceeded:
                over.release()
                await anyio.sleep_forever()

    over = anyio.Semaphore(0)

    @program
    async def cut() -> None:
        async with fan_out(short, ["long", "long"]):
            await over.acquire()
            await over.acquire()

    async with Pool(ScriptedEngine({"long": "a b c d e f g h i j k l m n"})) as pool:
        done = await run(cut, pool=pool)
    calls = [span for span in done.spans.values() if span.kind == "call"]
    assert [span.status for span in calls] == ["cancelled"] * 2

    @node
    async def breaks(i: int) -> int:
        if i == 2:
            await others.acquire()
            await others.acquire()
            raise KeyError(i)
        others.release()
        return i

    others = anyio.Semaphore(0)

    @program
    async def broken() -> str:
        try:
            async with fan_out(breaks, range(3)) as results:
                assert len([one async for one in results]) < 3
        except KeyError:
            pass
        return "ok"

    async with Pool(ScriptedEngine("x")) as pool:
        done = await run(broken, pool=pool)
    (fold,) = inside(done)
    assert fold.title == "breaks x 3: 2 done, 1 failed"
    assert (fold.status, fold.members[0].status) == ("failed", "failed")
    assert "KeyError" in "".join(branch.error for branch in fold.branches)


async def test_a_big_run_is_drawn_small():
    @program
    async def search() -> None:
        for _ in range(8):
            async with fan_out(ask, range(11)) as answers:
                found = [answer async for answer in answers]
            await look(found[0])

    async with Pool(ScriptedEngine("a longer answer")) as pool:
        done = await run(search, pool=pool)
    assert len(done.spans) == 1 + 8 * (1 + 22 + 1)
    folds = inside(done)
    assert titles(folds) == ["ask x 88 in 8 fan-outs", "look x 8"]
    drawn = folded_graph(done.spans)
    assert drawn.number_of_nodes() == 4
    kinds = {
        (drawn.nodes[a]["label"].split("\n")[0], kind) for a, _, kind in drawn.edges(data="kind")
    }
    assert ("generate (solver) x 88", "data") in kinds
    assert done.mermaid().count("\n") < 12
    tool = next(span for span in done.spans.values() if span.name == "look")
    assert tool.tool
    assert not done.spans[tool.parent or ""].tool


async def test_few_of_a_name_are_shown_one_by_one():
    @program
    async def chat() -> None:
        for i in range(3):
            await ask(i)

    async with Pool(ScriptedEngine("ok")) as pool:
        done = await run(chat, pool=pool)
    assert titles(inside(done)) == ["ask", "ask", "ask"]
    assert Folding(done.spans).within(None)[0].title == "chat"


async def test_a_file_of_events_tells_the_same(tmp_path):
    @program
    async def talk() -> str:
        first = await generate(Prompt.system("be brief").user("hello"))
        return (await generate(first.prompt.user("and then?"))).text

    async with Pool(ScriptedEngine("ok"), store=Store()) as pool:
        await run(talk, pool=pool)
        done = await run(talk, pool=pool, budget=Limits(calls=9))
    write_events(tmp_path / "events.jsonl", done.events)
    again = spans_of(read_events(tmp_path / "events.jsonl"))
    calls = [span for span in again.values() if span.kind == "call"]
    assert calls[0].turns == (("system", "be brief"), ("user", "hello"))
    assert calls[1].turns == (("user", "and then?"),)
    assert calls[1].follows == calls[0].id
    assert all(call.stored and call.outcome is not None for call in calls)
    mine, kept = graph_of(done.spans), graph_of(again)
    assert list(mine.edges(data="kind")) == list(kept.edges(data="kind"))
    assert [p.turns for p in done.spans.values()] == [p.turns for p in again.values()]
    assert [(p.id, p.status, p.began) for p in again.values()] == [
        (p.id, p.status, pytest.approx(p.began, abs=1e-8)) for p in done.spans.values()
    ]
