import math
from typing import Any

import pytest
from pydantic import BaseModel

from weft import Pool, Prompt, ScriptedEngine, generate, score
from weft.backends.scripted.engine import Scripted
from weft.errors import (
    ContextExceeded,
    EngineUnavailable,
    OutputError,
    RequestRejected,
    UnknownName,
    Unsupported,
    UsageError,
)

STEPS = {"solve": "one\ntwo\nthree"}


async def test_an_answer_with_its_tokens_usage_and_prompt():
    engine = ScriptedEngine({"hi": "hello"})
    async with Pool(engine):
        c = await generate(Prompt.user("hi"))
    assert c.text == "hello"
    assert c.finish_reason == "stop"
    assert c.ended
    assert len(c.tokens) == 5
    assert c.prompt.answer == "hello"
    assert c.prompt.open
    assert c.usage.calls == 1
    assert c.usage.completion == 6  # five characters and the token that ends the answer
    assert c.usage.prompt == len("hi") + 2
    assert c.engine == engine.name


async def test_continuing_sends_exactly_the_tokens_that_were_produced():
    engine = ScriptedEngine(STEPS)
    async with Pool(engine):
        path = Prompt.user("solve")
        pieces = []
        for _ in range(3):
            step = await generate(path, stop="\n")
            pieces.append(step)
            path = step.prompt
    assert [p.text for p in pieces] == ["one\n", "two\n", "three"]
    assert [p.ended for p in pieces] == [False, False, True]
    first, second, third = (r.tokens for r in engine.requests)
    assert first is not None
    assert second == first + pieces[0].tokens
    assert third == second + pieces[1].tokens


async def test_a_turn_after_produced_tokens_keeps_them():
    engine = ScriptedEngine(["first answer", "second"])
    async with Pool(engine):
        c = await generate(Prompt.user("a"))
        await generate(c.prompt.user("b"))
    first, second = (r.tokens for r in engine.requests)
    assert first is not None
    assert second is not None
    assert second[: len(first) + len(c.tokens)] == tuple(first) + c.tokens
    assert second == await engine.render(c.prompt.user("b").messages, open=False)


async def test_n_samples_are_a_list_with_seeds_of_their_own():
    engine = ScriptedEngine(["a", "b", "c"])
    async with Pool(engine):
        answers = await generate(Prompt.user("q"), n=3, seed=7)
    assert sorted(a.text for a in answers) == ["a", "b", "c"]
    assert [a.index for a in answers] == [0, 1, 2]
    assert sorted(r.sampling.seed or 0 for r in engine.requests) == [7, 8, 9]


class Point(BaseModel):
    x: int
    y: int


async def test_returns_gives_a_value_and_sends_the_schema():
    engine = ScriptedEngine(['{"x": 1, "y": 2}', '{"x": 1}', '{"x": 1, "y'])
    async with Pool(engine):
        assert (await generate(Prompt.user("q"), returns=Point)).value == Point(x=1, y=2)
        schema = engine.requests[0].sampling.schema
        assert schema is not None
        assert schema["required"] == ["x", "y"]
        with pytest.raises(OutputError, match="no Point: y: Field required"):
            await generate(Prompt.user("q"), returns=Point)
        with pytest.raises(OutputError, match="cut off by max_tokens"):
            await generate(Prompt.user("q"), returns=Point, max_tokens=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n=0 must be at least 1"),
        ({"max_tokens": 0}, "max_tokens=0 must be at least 1"),
        ({"temperature": -1}, "temperature=-1 must not be negative"),
        ({"top_p": 0}, "top_p=0 must be above 0"),
        ({"stop": ["a", ""]}, "stop must not contain an empty string"),
        ({"logprobs": 21}, "logprobs=21 must be from 0 to 20"),
    ],
)
async def test_bad_arguments_are_named(arguments, message):
    async with Pool(ScriptedEngine("x")):
        with pytest.raises(UsageError, match=message):
            await generate(Prompt.user("q"), **arguments)


async def test_an_empty_prompt_and_an_unknown_role_are_refused():
    async with Pool(ScriptedEngine("x")):
        with pytest.raises(UsageError, match="begin with Prompt"):
            await generate(Prompt())
        text: Any = "q"
        for ask in (generate(text), score(text, ["a"])):
            with pytest.raises(UsageError, match=r"the prompt is 'q', but must be a Prompt"):
                await ask
        with pytest.raises(UnknownName, match="role 'verifyer'; did you mean verifier"):
            await generate(Prompt.user("q"), role="verifyer")


async def test_outside_any_pool_the_remedy_is_named():
    with pytest.raises(UsageError, match="async with Pool"):
        await generate(Prompt.user("q"))


async def test_engines_errors_reach_the_caller():
    engine = ScriptedEngine({"no": Scripted(refuses="not today"), "ok": "ok"}, context=20)
    async with Pool(engine, outage=0):
        with pytest.raises(RequestRejected, match="not today"):
            await generate(Prompt.user("no"))
        with pytest.raises(ContextExceeded, match="context"):
            await generate(Prompt.user("x" * 40))
        assert (await generate(Prompt.user("ok"))).text == "ok"
        engine.kill()
        with pytest.raises(EngineUnavailable):
            await generate(Prompt.user("ok"))


async def test_roles_pick_models():
    solver, judge = ScriptedEngine("s", model="big"), ScriptedEngine("j", model="small")
    async with Pool(solver, judge, roles={"verifier": "small"}) as pool:
        assert pool.model("draft") == "big"
        assert (await generate(Prompt.user("q"))).text == "s"
        assert (await generate(Prompt.user("q"), role="verifier")).text == "j"
    with pytest.raises(UnknownName, match="'tiny'; did you mean"):
        async with Pool(solver, roles={"verifier": "tiny"}):
            pass


async def test_scores_are_products_over_the_tokens_of_an_option():
    chances = {"yes": 0.6, "yeah": 0.1, "no": 0.3}
    engine = ScriptedEngine(scores=chances)
    async with Pool(engine):
        found = await score(Prompt.user("q"), ["yes", "no", "yeah"])
    assert found == pytest.approx(chances)
    # One request for each beginning: "", "y", "ye", "yea", "n".
    assert len(engine.requests) == 5


async def test_engines_of_texts_score_by_texts_and_cannot_continue():
    engine = ScriptedEngine("x", scores={"a": 0.25}, takes_tokens=False)
    async with Pool(engine):
        assert await score(Prompt.user("q"), ["a"]) == {"a": pytest.approx(0.25)}
        c = await generate(Prompt.user("q"))
        with pytest.raises(Unsupported, match="can't continue an open answer"):
            await generate(c.prompt)


@pytest.mark.parametrize("options", [[], ["a", "a"], ["a", ""]])
async def test_options_must_differ(options):
    async with Pool(ScriptedEngine(scores={"a": 1.0})):
        with pytest.raises(UsageError, match="different, non-empty"):
            await score(Prompt.user("q"), options)


async def test_impossible_options_have_probability_zero():
    async with Pool(ScriptedEngine(scores={"a": 1.0})):
        assert await score(Prompt.user("q"), ["b"]) == {"b": 0.0}
    assert math.exp(-math.inf) == 0.0
