"""What a question says of sampling holds for every call of a strategy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from strategy_specs import ONE_EACH, SAMPLING, STEPWISE
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import UsageError
from weft.orchestrator.pool import Pool
from weft.programs import run
from weft.search import Question, parse_strategy
from weft.types import Request


def _writing(engine: ScriptedEngine, question: Question) -> list[Request]:
    """The requests that wrote parts of answers; a judge's are not among them."""
    prompts = [p.messages[0] for p in (question.prompt, question.think) if p is not None]
    found = [r for r in engine.requests if not r.ask and r.messages[0] in prompts]
    assert found
    return found


@pytest.mark.parametrize("spec", ONE_EACH)
async def test_top_p_stop_and_no_limit(
    spec: str, question: Question, player: Callable[..., ScriptedEngine]
) -> None:
    engine = player()
    asked = replace(
        question, top_p=0.5, stop=("answer",), max_tokens=None, answer=lambda text: text
    )
    async with Pool(engine) as pool:
        answer = (await run(parse_strategy(spec), asked, pool=pool)).value
    how = [r.sampling for r in _writing(engine, asked)]
    piece = getattr(parse_strategy(spec), "every", 0)  # of answers that are written in pieces
    assert all(s.max_tokens is None or s.max_tokens <= piece for s in how)
    assert all("answer" in s.stop for s in how)
    assert {s.top_p for s in how} == {0.5}
    assert answer.text is not None
    assert answer.text.endswith("answer")  # and nothing behind it


@pytest.mark.parametrize("spec", SAMPLING)
async def test_a_schema_holds_for_whole_answers(
    spec: str, question: Question, player: Callable[..., ScriptedEngine]
) -> None:
    engine, schema = player(), {"type": "object"}
    async with Pool(engine) as pool:
        await run(parse_strategy(spec), replace(question, schema=schema), pool=pool)
    assert all(r.sampling.schema == schema for r in _writing(engine, question))


@pytest.mark.parametrize("spec", STEPWISE)
async def test_a_schema_can_t_hold_for_steps(
    spec: str, question: Question, player: Callable[..., ScriptedEngine]
) -> None:
    schema: dict[str, Any] = {"type": "object"}
    async with Pool(player()) as pool:
        with pytest.raises(UsageError, match="can't hold it to a schema"):
            await run(parse_strategy(spec), replace(question, schema=schema), pool=pool)
