"""Thinking is a field of its own, never the answer, and gives no vote."""

from functools import partial
from pathlib import Path

import pytest
from pydantic import BaseModel

from strategy_specs import ONE_EACH, VERIFYING, checking
from weft import Pool, Prompt, ScriptedEngine, Store, generate, run
from weft.errors import OutputError, UnknownName, UsageError
from weft.search import Question, parse_strategy

pytestmark = pytest.mark.anyio

THOUGHT = "<think>maybe 7 or 8</think>\n\n5"


def asked(**more) -> Question:
    return Question(
        Prompt.user("q"), answer=lambda t: t.strip() or None, complete=lambda t: False, **more
    )


@pytest.mark.parametrize("tokens", [True, False])
async def test_marked_thinking_is_apart(tokens: bool):
    engine = ScriptedEngine([THOUGHT, "6"], takes_tokens=tokens)
    async with Pool(engine):
        c = await generate(Prompt.user("q"))
        await generate(c.prompt.user("and?"))
    assert (c.text, c.reasoning, c.whole) == ("5", "maybe 7 or 8", True)
    assert c.usage.completion == len(THOUGHT) + 1
    assert c.usage.reasoning == pytest.approx(len("<think>maybe 7 or 8"), abs=8)
    # What an engine produced in tokens goes back as it was; a text without its thinking.
    assert engine.requests[1].messages[1].content == (THOUGHT if tokens else "5")


async def test_a_template_that_opens_thinking_is_found_out():
    engine = ScriptedEngine(["7 or 8</think>5", "perhaps 7", "6"])
    async with Pool(engine):
        first = await generate(Prompt.user("q"))
        cut = await generate(Prompt.user("q"), max_tokens=9)
        without = await generate(Prompt.user("q"))
        switched = await generate(Prompt.user("q"), thinking=False, max_tokens=1)
    assert (first.text, first.reasoning) == ("5", "7 or 8")
    assert (cut.text, cut.reasoning, cut.in_thinking, cut.whole) == ("", "perhaps 7", True, False)
    assert (without.text, without.in_thinking) == ("6", False)  # it ended, so it did not think
    assert (switched.text, switched.in_thinking) == ("7", False)


async def test_thinking_goes_on_over_calls():
    engine = ScriptedEngine(lambda r: "<think>a\nb</think>5"[len(r.messages[-1].content) :]
                            if r.open else "<think>a\nb</think>5")  # fmt: skip
    async with Pool(engine):
        first = await generate(Prompt.user("q"), stop="\n")
        second = await generate(first.prompt)
    assert (first.in_thinking, first.text) == (True, "")
    assert (second.in_thinking, second.text, second.reasoning) == (False, "5", "b")


def _writes(text: str) -> ScriptedEngine:
    """An engine that always writes this, and goes on where an open answer is cut."""
    return ScriptedEngine(
        lambda r: text[len(r.messages[-1].content) :] if r.open else text, {"low": 1.0}
    )


@pytest.mark.parametrize("spec", ONE_EACH)
async def test_a_text_cut_off_in_thinking_gives_no_vote(spec: str):
    strategy = checking(spec) if spec in VERIFYING else parse_strategy(spec)
    question = asked(max_tokens=15, check=lambda text: 0.5, steps="\n\n")
    # Proposals of power sampling cut anywhere; what adds to thinking is not in the engine's text.
    writes = _writes if spec.startswith("power") else partial(ScriptedEngine, scores={"low": 1.0})
    async with Pool(writes("<think>maybe 7 or 8</think>5")) as pool:
        cut = (await run(strategy, question, pool=pool)).value
    async with Pool(writes("<think>7</think>5")) as pool:
        whole = (await run(strategy, asked(check=lambda t: 0.5), pool=pool)).value
    assert cut.value is None
    assert "7" not in (cut.text or "")
    assert (whole.value, whole.text) == ("5", "5")


async def test_stored_thinking_comes_back(tmp_path: Path):
    async def twice():
        return [await generate(Prompt.user("q"), index=0) for _ in range(2)]

    with Store(tmp_path / "s.sqlite") as store:
        async with Pool(ScriptedEngine(THOUGHT), store=store) as pool:
            first, again = (await run(twice, pool=pool)).value
    assert (again.text, again.reasoning) == (first.text, first.reasoning) == ("5", "maybe 7 or 8")


async def test_settings_reach_the_engine_and_the_key(tmp_path: Path):
    engine = ScriptedEngine(["a", "b", "c"])
    more = {"top_k": 20, "min_p": 0.1, "presence_penalty": 1, "repetition_penalty": 1.1,
            "reasoning_effort": "low", "thinking": True, "extra": {"x": [1]}}  # fmt: skip

    async def four():
        plain = await generate(Prompt.user("q"), index=0)
        other = await generate(Prompt.user("q"), index=0, **more)
        return [plain.text, other.text, (await generate(Prompt.user("q"), index=0, **more)).text]

    with Store(tmp_path / "s.sqlite") as store:
        async with Pool(engine, store=store) as pool:
            assert (await run(four, pool=pool)).value == ["a", "b", "b"]
    for name, value in more.items():
        assert getattr(engine.requests[1].sampling, name) == value
        assert getattr(engine.requests[0].sampling, name) is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"top_k": 1.5}, "top_k=1.5 must be a whole number"),
        ({"min_p": 2}, "min_p=2 must be from 0 to 1"),
        ({"thinking": 1}, "thinking=1 must be true or false"),
        ({"extra": {"x": object()}}, "extra must hold plain data"),
    ],
)
async def test_settings_out_of_range(more: dict, words: str):
    async with Pool(ScriptedEngine("a")):
        with pytest.raises(UsageError, match=words):
            await generate(Prompt.user("q"), **more)
        with pytest.raises(UnknownName, match="top_k"):
            await generate(Prompt.user("q"), topk=3)  # pyright: ignore


class Pair(BaseModel):
    x: int
    y: int = 0


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1}',
        ' ```json\n{"x": 1}\n```',
        'Here:\n```\n{"x": 1}\n``` as asked',
        'Like {"x": "?"}, so {"x": 1}. Done.',
        '<think>{"x": 9}</think>{"x": 1}',
        'For example\n```json\n{"x": 9}\n```\nand in the end\n```json\n{"x": 1}\n```',
        'Set {a} then {"x": 1}',
        '```json\n{"x": 1}',
        '[{"z": 0}] and {"x": 1}',
    ],
)
async def test_json_is_found(text: str):
    async with Pool(ScriptedEngine(text)):
        assert (await generate(Prompt.user("q"), returns=Pair)).value == Pair(x=1)


@pytest.mark.parametrize(
    ("text", "limit", "words"),
    [
        ("none", None, "no Pair"),
        ('{"x": "a"}', None, "no Pair: x: .*integer"),
        ('{"x": 12', 6, "cut off by max_tokens"),
        ("<think>{", 7, "within its thinking .cut off"),
        ("", None, "before it began"),
    ],
)
async def test_json_that_is_not_there(text: str, limit: int | None, words: str):
    async with Pool(ScriptedEngine(text)):
        with pytest.raises(OutputError, match=words):
            await generate(Prompt.user("q"), returns=Pair, max_tokens=limit)
