"""One program over many inputs."""

import itertools
from collections import Counter

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import Limits, Pool, Prompt, ScriptedEngine, Store, batch, generate, program, run, score
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, RequestRejected, UsageError
from weft.programs.batches.neighbours import Neighbours
from weft.programs.scope import current


async def digest(document: str) -> str:
    return (await generate(Prompt.user(document), temperature=0)).text


async def answer(pair: tuple[str, str]) -> str:
    document, question = pair
    short = await digest(document)
    return (await generate(Prompt.user(f"{short} {question}"), temperature=0)).text


def echo(request) -> str:
    return request.messages[-1].content.upper()


def asked(engine: ScriptedEngine) -> Counter[str]:
    return Counter(request.messages[-1].content for request in engine.requests)


PAIRS = [(document, question) for question in "xyz" for document in ("a", "b")]


async def test_results_stand_in_order_and_what_is_common_is_asked_once():
    engine = ScriptedEngine(echo)
    async with Pool(engine) as pool:
        done = await batch(answer, PAIRS, pool=pool)
    assert done.value == [f"{d} {q}".upper() for d, q in PAIRS]
    assert asked(engine) == {"a": 1, "b": 1, **{f"{d.upper()} {q}": 1 for d, q in PAIRS}}
    assert done.shared == 4
    assert done.usage.calls == 8
    assert not done.errors
    assert len([s for s in done.spans.values() if s.kind == "call"]) == 12


async def test_samples_are_each_input_s_own_and_scores_are_shared():
    async def sample(_: int) -> list[str]:
        drawn = await generate(Prompt.user("go"), n=2, temperature=0.5)
        await score(Prompt.user("go").assistant("", open=True), ["y", "n"])
        return [one.text for one in drawn]

    numbers = iter("abcdef")
    engine = ScriptedEngine(lambda request: next(numbers), scores={"y": 0.5, "n": 0.5})
    async with Pool(engine) as pool:
        done = await batch(sample, range(3), pool=pool)
    assert not done.errors
    drawn = [text for two in done.value if isinstance(two, list) for text in two]
    assert sorted(drawn) == list("abcdef")
    assert done.shared == 2


async def test_the_same_asked_twice_by_one_input_is_asked_twice():
    async def twice(_: int) -> None:
        for _ in range(2):
            await digest("a")

    engine = ScriptedEngine("x")
    async with Pool(engine) as pool:
        done = await batch(twice, range(3), pool=pool)
    assert (asked(engine), done.shared) == ({"a": 2}, 4)


async def test_who_is_cancelled_while_it_calls_for_all_harms_nobody():
    engine = ScriptedEngine([Scripted(hangs=True), "x"])
    runs = anyio.Event()

    async def first_gives_up(at: int) -> str:
        if at:
            await runs.wait()
            return await digest("a")
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def cancel() -> None:
                    while not engine.running:
                        await anyio.lowlevel.checkpoint()
                    runs.set()
                    for _ in range(5):  # others come to wait for the same call
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()

                tasks.start_soon(cancel)
                await digest("a")
        return "gave up"

    async with Pool(engine) as pool:
        done = await batch(first_gives_up, range(4), pool=pool)
    assert done.value == ["gave up", "x", "x", "x"]
    assert (engine.cancelled, len(engine.requests), done.shared) == (1, 2, 2)


async def test_an_input_that_fails_fails_alone():
    engine = ScriptedEngine({"a": "1", "1 x": "yes", "1 y": "no"})
    told: dict[int, object] = {}
    async with Pool(engine) as pool:
        pairs = [("a", "x"), ("bad", "x"), ("a", "y")]
        done = await batch(answer, pairs, pool=pool, on_result=told.__setitem__)
    assert (done.value[0], done.value[2]) == ("yes", "no")
    assert list(done.errors) == [1]
    assert isinstance(done.errors[1], RequestRejected)
    assert told == dict(enumerate(done.value))


async def test_a_budget_is_of_the_whole():
    engine = ScriptedEngine(echo)
    async with Pool(engine) as pool:
        letters = list("abcabc")
        done = await batch(digest, letters, pool=pool, budget=Limits(calls=2), limit=1)
    assert asked(engine).total() == 2  # what is common costs nothing
    for letter, result in zip(letters, done.value, strict=True):
        assert result == letter.upper() if letter in asked(engine) else True
    assert [isinstance(e, BudgetExceeded) for e in done.errors.values()] == [True, True]


async def test_a_batch_goes_on_where_it_was(tmp_path):
    store = Store(tmp_path / "weft.db")
    broken = {"a": "1", "b": "2", "1 x": "yes", "1 y": "no"}
    pairs = [("a", "x"), ("b", "x"), ("a", "y")]
    async with Pool(ScriptedEngine(broken), store=store) as pool:
        first = await batch(answer, pairs, pool=pool, id="monday")
    assert list(first.errors) == [1]
    engine = ScriptedEngine({"2 x": "mended"})
    async with Pool(engine, store=store) as pool:
        again = await batch(answer, pairs, pool=pool, id="monday")
        assert again.value == ["yes", "mended", "no"]
        assert len(engine.requests) == 1
        with pytest.raises(UsageError, match="begun with"):
            await batch(answer, pairs[:1], pool=pool, id="monday")


async def test_calls_that_begin_alike_are_served_together():
    """One call at a time: of the inputs in turn, a document's calls follow each other."""
    engine = ScriptedEngine("x", concurrency=1, kv_tokens=200)
    documents = [letter * 96 for letter in "abc"]

    async def ask(pair: tuple[str, int]) -> None:
        await generate(Prompt.user(f"{pair[0]}{pair[1]}"), max_tokens=4)

    pairs = [(document, number) for number in range(4) for document in documents]
    async with Pool(engine) as pool:
        done = await batch(ask, pairs, pool=pool)
        assert not done.errors
    order = [request.messages[-1].content[0] for request in engine.requests]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes == 2
    assert done.usage.cached >= 9 * 96


async def test_the_scheduler_is_told_of_the_whole_and_each_input_compared_with_what_it_declares():
    seen: set[tuple[int | None, int]] = set()

    @program(calls=2, stages=["declares"])
    async def declares(pair: tuple[str, str]) -> str:
        scope = current()
        assert scope.program is not None
        assert scope.group is not None
        seen.add((scope.program.expected_calls, scope.group.width))
        if pair[1] == "z":
            for _ in range(2):
                await digest("more")
        return await answer(pair)

    async with Pool(ScriptedEngine(echo)) as pool:
        done = await batch(declares, PAIRS, pool=pool)
    assert seen == {(12, 6)}
    assert done.differences == ["declares made 4 calls, and declares calls=2"] * 2


async def test_a_batch_in_a_run_is_part_of_it():
    async def both() -> list[object]:
        done = await batch(answer, PAIRS, pool=pool)
        return list(done.value)

    async with Pool(ScriptedEngine(echo)) as pool:
        whole = await run(both, pool=pool, budget=Limits(calls=8))
    assert len(whole.value) == 6
    assert whole.usage.calls == 8


async def test_cancelling_a_batch_ends_all():
    engine = ScriptedEngine(Scripted(hangs=True))
    async with Pool(engine) as pool:
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                while engine.running < 2:
                    await anyio.lowlevel.checkpoint()
                scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel)
                await batch(answer, PAIRS, pool=pool)
        assert scope.cancelled_caught
        assert (engine.running, engine.cancelled) == (0, 2)


async def test_mistakes_are_told():
    async with Pool(ScriptedEngine("x")) as pool:
        with pytest.raises(UsageError, match="list of inputs"):
            await batch(digest, "abc", pool=pool)
        with pytest.raises(UsageError, match="give the inputs"):
            await batch(digest, [digest("a")], pool=pool)  # pyright: ignore
        with pytest.raises(UsageError, match="async function"):
            await batch(len, ["a"], pool=pool)  # pyright: ignore
        assert (await batch(digest, [], pool=pool)).value == []


@given(st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=12))
def test_prompts_that_begin_alike_are_neighbours(prompts: list[list[int]]):
    neighbours = Neighbours()
    chained = [[hash(tuple(p[: i + 1])) for i in range(len(p))] for p in prompts]
    ranked = sorted(range(len(prompts)), key=lambda i: neighbours.rank(chained[i]))
    for blocks in (1, 2, 3, 4):
        long = [tuple(prompts[i][:blocks]) for i in ranked if len(prompts[i]) >= blocks]
        runs = [b for a, b in zip([None, *long], long, strict=False) if a != b]
        assert len(runs) == len(set(runs))
