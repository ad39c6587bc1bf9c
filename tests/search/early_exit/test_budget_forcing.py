"""s1's budget forcing: how often thinking is made to go on, and where it is ended."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import Unsupported
from weft.orchestrator.pool import Pool
from weft.programs import Prompt, generate, run
from weft.search import BudgetForcing
from weft.search.early_exit.pieces import closed, up_to
from weft.types import Request

THOUGHTS = ["<think>\none two.\n", " three 45.\n", " six 7.\n", " eight.\n"]


def think(request: Request) -> str:
    """Thinks, ends its thinking, and answers with how often it was made to wait."""
    written = request.messages[-1].content if request.open else ""
    waits = written.count("Wait")
    if "</think>" in written:
        return f"\nanswer {waits}"
    return f"{THOUGHTS[waits]}</think>\nanswer {waits}"


TOKENS: list[dict[str, Any]] = [
    {},
    {"bytes": True},
    {"pieces": ["</think>", "two.", ".\n</th", "<think>", "ink>\n"]},
]


def written(engine: ScriptedEngine) -> str:
    """All that there is of the answer before its last piece."""
    return engine.requests[-1].messages[-1].content


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("waits", [0, 1, 3])
async def test_so_many_waits(waits: int, tokens: dict[str, Any], question) -> None:
    async with Pool(engine := ScriptedEngine(think, **tokens)):
        answer = await BudgetForcing(waits=waits)(question)
    assert (answer.value, answer.text) == (str(waits), f"answer {waits}")
    thinking = "Wait".join(THOUGHTS[: waits + 1])
    text = written(engine)
    assert text.rstrip() == f"{thinking}</think>"  # a token may hold more than the mark
    assert text.count("Wait") == waits
    assert len(engine.requests) == waits + 2


@pytest.mark.parametrize("tokens", TOKENS)
async def test_what_stood_there_keeps_its_ids(tokens: dict[str, Any], question) -> None:
    async with Pool(engine := ScriptedEngine(think, **tokens)):
        await BudgetForcing(waits=2)(question)
    sent = [tuple(r.tokens or ()) for r in engine.requests]
    texts = [engine.vocabulary.decode(ids) for ids in sent]
    for before, after in pairwise(sent):
        assert after[: len(before)] == before
    whole = engine.vocabulary.encode(THOUGHTS[0] + "</think>\nanswer 0")
    kept = sent[1][len(sent[0]) :]
    same = next((i for i, (a, b) in enumerate(zip(kept, whole, strict=False)) if a != b), 0)
    # All tokens that end before the mark; what is left of the one that holds its beginning is text.
    assert engine.vocabulary.decode(kept[:same]) in (THOUGHTS[0], THOUGHTS[0].removesuffix(".\n"))
    assert texts[1].endswith(THOUGHTS[0] + "Wait")


@pytest.mark.parametrize("tokens", TOKENS)
async def test_no_more_than_the_cap_and_the_answers_own(tokens: dict[str, Any], question) -> None:
    asked = replace(question, max_tokens=12)
    for most in range(8, 60, 3):  # behind the mark that begins thinking
        async with Pool(engine := ScriptedEngine(think, **tokens)) as pool:
            done = await run(BudgetForcing(waits=3, most=most), asked, pool=pool)
        assert done.usage.completion <= most + 12
        assert done.value.value is not None  # though thinking was cut anywhere
        text = written(engine)
        assert text.count("</think>") == 1
        assert "Wait".join(THOUGHTS).startswith(text.partition("</think>")[0].removesuffix("\n"))


async def test_the_answer_begins_as_told(question) -> None:
    async with Pool(engine := ScriptedEngine(think)):
        answer = await BudgetForcing(most=10, final="final answer 9 or ")(question)
    assert written(engine) == "<think>\non\n</think>\nfinal answer 9 or "
    assert answer.text == "final answer 9 or \nanswer 0"


async def test_a_model_that_does_not_think_answers_at_once(question) -> None:
    async with Pool(engine := ScriptedEngine("answer 5")):
        answer = await BudgetForcing(waits=3)(replace(question, think=None))
    assert answer.value == "5"
    assert len(engine.requests) == 1


async def test_an_engine_that_can_t_go_on(question) -> None:
    async with Pool(ScriptedEngine(think, takes_tokens=False)):
        with pytest.raises(Unsupported, match="can't continue"):
            await BudgetForcing()(question)


async def test_a_prompt_up_to_a_character() -> None:
    engine = ScriptedEngine("<think>abcdé fg", pieces=["bc", "dé "])
    async with Pool(engine):
        known = await generate(Prompt.user("q"), logprobs=0)
        unknown = await generate(Prompt.user("q"))
        for at in range(len("<think>abcdé fg") + 1):
            for piece in (known, unknown):
                cut = up_to(piece, at)
                assert cut.answer == "<think>abcdé fg"[:at]
                assert cut.open
        assert up_to(known, 8).tokens == known.tokens[:8]
        inner = up_to(known, 9)  # within "bc"
        assert (inner.text, inner.tokens) == ("b", None)
        assert inner.parent is not None
        assert inner.parent.tokens == known.tokens[:8]


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("", "</think>"),
        ("within what the template opened", "</think>"),
        ("<think>a", "</think>"),
        ("<Thinking>a", "</Thinking>"),
        ("[THINK]a", "[/THINK]"),
        ("<think>a</think> [THINK] b", "[/THINK]"),
    ],
)
def test_thinking_is_ended_as_it_began(text: str, mark: str) -> None:
    begun = Prompt.user("q").assistant(text, open=True)
    assert closed(begun, "so").answer == f"{text}{chr(10) if text else ''}{mark}\nso"
