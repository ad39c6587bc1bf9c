"""Data edges: which values came from which calls and nodes."""

import gc
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from weft import Pool, Prompt, Run, ScriptedEngine, fan_out, generate, node, run
from weft.programs.runs.provenance import Provenance


class Verdict(BaseModel):
    right: bool
    why: str


class Weak:
    """Something that can be referred to weakly."""


@dataclass(slots=True)
class Plan:
    """Something that can't."""

    steps: list[object] = field(default_factory=list)


def edges(done: Run[Any]) -> set[tuple[str, str]]:
    """Data edges, each end by what it is: its label, or a call's number."""
    graph = done.graph

    def name(at: str) -> str:
        return at if at.startswith("call") else graph.nodes[at]["label"]

    return {(name(a), name(b)) for a, b, kind in graph.edges(data="kind") if kind == "data"}


@node
async def use(value: object, **more: object) -> None: ...


async def ask(text: str) -> str:
    return (await generate(Prompt.user(text))).text


async def test_texts_that_look_alike_are_no_edge():
    async def unrelated() -> None:
        await generate(Prompt.user("q1"))
        await generate(Prompt.user("please give the answer now"))
        await generate(Prompt.user("the answer"))
        await use("the answer")

    async with Pool(ScriptedEngine("the answer")) as pool:
        assert edges(await run(unrelated, pool=pool)) == set()


async def test_the_same_answer_of_two_calls_is_two_values():
    async def same() -> None:
        first, second = await ask("1"), await ask("2")
        await use(second)
        assert first == second
        await generate(Prompt.user(first))

    async with Pool(ScriptedEngine("done")) as pool:
        assert edges(await run(same, pool=pool)) == {("call-2", "use"), ("call-1", "call-4")}


async def test_completions_prompts_and_typed_answers_wherever_they_lie():
    async def related() -> None:
        completion = await generate(Prompt.user("1"))
        verdict = (await generate(Prompt.user("2"), returns=Verdict)).value
        prompt = (await generate(Prompt.user("3"))).prompt.user("more")
        await use([{"deep": Plan([completion])}])
        await judge(verdict)
        await tell(verdict.why, also=(prompt,))

    @node
    async def judge(value: object) -> None: ...

    @node
    async def tell(value: object, also: object) -> None: ...

    async with Pool(ScriptedEngine('{"right": true, "why": "it is so"}')) as pool:
        done = await run(related, pool=pool)
    assert edges(done) == {
        ("call-1", "use"),
        ("call-2", "judge"),
        ("call-2", "tell"),
        ("call-3", "tell"),
    }


class Loose(BaseModel, extra="allow"):
    """Takes fields that it does not name."""


async def test_what_lies_in_containers_of_every_kind():
    async def related() -> None:
        for number, make in enumerate(
            (
                lambda c: deque([c]),
                lambda c: Counter([c.text]),
                lambda c: {(c.text, 1): 0},
                lambda c: Loose.model_validate({"found": c}),
                lambda c: defaultdict(list, a=[{c.text}]),
                lambda c: c.reasoning,
            )
        ):
            await use(make(await generate(Prompt.user(str(number)))))

    async with Pool(ScriptedEngine("<think>7 or 8</think>it is so")) as pool:
        found = edges(await run(related, pool=pool))
    assert found == {(f"call-{number}", "use") for number in range(1, 12, 2)}


@pytest.mark.parametrize(
    "make",
    [Weak, Plan, lambda: [1, 2], lambda: {"a": 1}, lambda: "two " + str(2), lambda: (Weak(), 1)],
)
async def test_what_a_node_returned(make):
    @node
    async def give() -> object:
        return make()

    async def given() -> None:
        value = await give()
        await use(value)
        async with fan_out(again, [value]) as results:
            assert [one async for one in results] == [None]

    @node
    async def again(value: object) -> None: ...

    async with Pool(ScriptedEngine("x")) as pool:
        found = edges(await run(given, pool=pool))
    assert found == {("give", "use"), ("give", "again"), ("give", "again x 1")}


@pytest.mark.parametrize("constant", [None, True, 7, 1.5, "yes", "", "x", (), b"", int, len])
async def test_constants_come_from_nowhere(constant):
    @node
    async def give() -> object:
        return constant

    async def given() -> None:
        await give()
        await use(constant)

    async with Pool(ScriptedEngine("x")) as pool:
        assert edges(await run(given, pool=pool)) == set()


async def test_a_run_inside_a_run_knows_the_outer_values():
    async def inner(value: object) -> None:
        await use(value)

    async def outer() -> None:
        completion = await generate(Prompt.user("1"))
        own = await run(inner, completion, pool=pool)
        assert own.mermaid()  # whose graph lacks the outer call

    async with Pool(ScriptedEngine("x")) as pool:
        assert edges(await run(outer, pool=pool)) == {("call-1", "use")}


async def test_values_do_not_live_longer_for_it():
    provenance: list[ref[object]] = []

    @node
    async def give() -> Weak:
        made = Weak()
        provenance.append(ref(made))
        return made

    async def many() -> None:
        for _ in range(3):
            await give()

    async with Pool(ScriptedEngine("x")) as pool:
        await run(many, pool=pool)
    gc.collect()
    assert [one() for one in provenance] == [None] * 3


def test_texts_are_held_up_to_a_bound_and_the_gone_forgotten():
    provenance = Provenance()
    for i in range(40):
        provenance.note("long " * 200_000 + str(i), f"call-{i}")
    assert 1 < len(provenance) <= 16
    own = Provenance()
    own.note([Weak() for _ in range(100)], "node-1")
    gc.collect()
    assert len(own) == 0
    loop: list[object] = [numbers := [1, 2]]
    loop.append(loop)
    own.note(loop, "node-2")
    assert own.behind([loop]) == own.behind([numbers]) == ["node-2"]
    assert own.behind([[1, 2]]) == []


@given(st.lists(st.text(), max_size=20))
def test_an_equal_value_is_another_one(texts: list[str]) -> None:
    provenance = Provenance()
    kept = [provenance.text(text, f"call-{i}") for i, text in enumerate(texts)]
    assert kept == texts
    for i, text in enumerate(kept):
        assert provenance.behind([text]) == ([f"call-{i}"] if len(text) > 1 else [])
        if len(text) > 1:
            assert provenance.behind([text[:1] + text[1:]]) == []
