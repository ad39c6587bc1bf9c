"""Programs made of operators that name what they need."""

import anyio
import pytest

from weft import Pool, Prompt, ScriptedEngine, batch, generate, node, run
from weft.cli.run import bind, load
from weft.errors import UnknownName, UsageError
from weft.programs.figures.stages import declared_graph
from weft.programs.workflows import when, workflow


async def ask(text: str) -> str:
    return (await generate(Prompt.user(text), temperature=0)).text


@node(calls=1)
async def kind(mail: str) -> str:
    return await ask(f"kind of {mail}")


@when(lambda kind: kind == "complaint")
@node(calls=1)
async def facts(mail: str) -> str:
    return await ask(f"facts of {mail}")


@node(calls=1)
async def tone(mail: str) -> str:
    return await ask(f"tone of {mail}")


@node(calls=1)
async def reply(kind: str, tone: str, facts: str = "no facts") -> str:
    return await ask(f"{kind}, {tone}, {facts}")


mails = workflow(kind, facts, tone, reply)


def model(request) -> str:
    text = request.messages[-1].content
    if text.startswith("kind of"):
        return "complaint" if "!" in text else "praise"
    return text.replace(" of ", ":")


async def test_operators_are_chained_branch_and_depend_on_conditions():
    engine = ScriptedEngine(model)
    async with Pool(engine) as pool:
        warm = await run(mails, "nice", pool=pool)
        cold = await run(mails, mail="bad!", pool=pool)
    assert warm.value == "praise, tone:nice, no facts"
    assert cold.value == "complaint, tone:bad!, facts:bad!"
    assert [warm.usage.calls, cold.usage.calls] == [3, 4]
    assert not cold.differences
    assert warm.differences == []


async def test_operators_that_need_nothing_of_each_other_run_side_by_side():
    met = [anyio.Event(), anyio.Event()]

    async def one() -> int:
        met[0].set()
        await met[1].wait()
        return 1

    async def two() -> int:
        met[1].set()
        await met[0].wait()
        return 2

    async def both(one: int, two: int) -> int:
        return one + two

    async with Pool(ScriptedEngine("x")) as pool:
        assert (await run(workflow(one, two, both), pool=pool)).value == 3


async def test_what_needs_an_operator_that_was_left_out_is_left_out_too():
    async def number(x: int) -> int:
        return x

    @when(lambda number: number > 0)
    async def above(number: int) -> str:
        return "above"

    async def shout(above: str) -> str:
        return above.upper()

    @when(lambda number: number < 0)
    async def below(number: int) -> str:
        return "below"

    flow = workflow(number, above, shout, below, returns=["shout", "below"])
    async with Pool(ScriptedEngine("x")) as pool:
        done = await batch(flow, [1, -1, 0], pool=pool)
    assert done.value == ["ABOVE", "below", None]


async def test_an_operator_that_fails_ends_the_workflow_and_what_runs_beside_it():
    left: list[str] = []

    async def fails() -> None:
        raise ValueError("no")

    async def waits() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            left.append("waits")

    async with Pool(ScriptedEngine("x")) as pool:
        with pytest.raises(ValueError, match="no"):
            await run(workflow(fails, waits), pool=pool)
    assert left == ["waits"]


async def test_models_do_the_operators_they_are_assigned():
    small = ScriptedEngine(model, model="small")
    big = ScriptedEngine(model, model="big")
    async with Pool(small, big) as pool:
        await run(mails.on({"reply": "big"}), "bad!", pool=pool)
        assert (len(small.requests), len(big.requests)) == (3, 1)
        with pytest.raises(UnknownName, match="bigger"):
            await run(mails.on({"reply": "bigger"}), "bad!", pool=pool)


async def test_equal_operators_of_a_batch_are_done_once():
    engine = ScriptedEngine(model)
    async with Pool(engine) as pool:
        done = await batch(mails, ["bad!", "nice", "bad!"], pool=pool)
    assert done.value[0] == done.value[2]
    assert (len(engine.requests), done.shared) == (7, 4)


def test_the_graph_is_known_before_anything_runs():
    assert mails.inputs == ("mail",)
    assert mails.needs["reply"] == ("kind", "tone", "facts")
    graph = declared_graph(mails)
    edges = {(a, b) for a, b in graph.edges if b != "end "}
    assert edges == {
        *(("", "kind"), ("", "tone"), ("kind", "facts")),
        *(("kind", "reply"), ("tone", "reply"), ("facts", "reply")),
    }
    assert "4 calls" in graph.nodes[""]["label"]


def test_the_command_line_finds_a_workflow(tmp_path, monkeypatch):
    file = tmp_path / "adding.py"
    file.write_text(
        "from weft.programs.workflows import workflow\n"
        "async def total(x: int, y: int = 2) -> int: return x + y\n"
        "adding = workflow(total)\n"
    )
    found = load(f"{file}:adding")
    assert bind(found, "adding", {"x": "3"}) == {"x": 3}
    assert list(declared_graph(found)) == ["", "total", "end "]


async def test_mistakes_are_told():
    async def chicken(egg: int) -> int:
        return egg

    async def egg(chicken: int) -> int:
        return chicken

    async def many(*things: int) -> int:
        return len(things)

    with pytest.raises(UsageError, match="need each other in a circle"):
        workflow(chicken, egg)
    with pytest.raises(UsageError, match="names each thing"):
        workflow(many)
    with pytest.raises(UsageError, match="two operators are named kind"):
        workflow(kind, kind)
    with pytest.raises(UsageError, match="at least one"):
        workflow()
    with pytest.raises(UnknownName, match="repli"):
        workflow(kind, returns="repli")
    with pytest.raises(UnknownName, match="repli"):
        mails.on({"repli": "small"})
    with pytest.raises(UsageError, match="plain function"):
        when(egg)  # pyright: ignore
    with pytest.raises(UsageError, match="takes the inputs mail"):
        await mails(male="x")
