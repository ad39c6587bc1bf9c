"""Strategies of sampling over a user's node."""

from __future__ import annotations

from itertools import count
from typing import Any

import anyio
import pytest

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import OutputError, RequestRejected, UsageError
from weft.orchestrator.pool import Pool
from weft.programs import Limits, Prompt, generate, node, run
from weft.search import best_of, choose, majority_of

PROMPT = Prompt.user("write a patch")


class Patch:
    """What a user's node returns; no two are equal."""

    def __init__(self, quality: float) -> None:
        self.quality = quality


def writing(*replies: Any) -> ScriptedEngine:
    """Answers with these, one call after another."""
    texts = iter(replies)
    return ScriptedEngine(lambda request: next(texts))


@node
async def attempt(prompt: Prompt) -> Patch | None:
    text = (await generate(prompt)).text
    return None if text == "none" else Patch(float(text))


async def passes(patch: Patch) -> float:
    await anyio.lowlevel.checkpoint()
    return patch.quality


async def test_the_best_by_its_tests() -> None:
    async with Pool(engine := writing("0.2", "none", "0.7", "0.7", "0.1")):
        found = await best_of(attempt, PROMPT, n=5, by=passes)
        assert engine.running == engine.waiting == 0
    assert found.value is not None
    assert (found.value.quality, found.score) == (0.7, 0.7)
    assert (found.details["samples"], found.details["scored"]) == (5, 4)
    assert found.details["unparsable"] == 1


async def test_one_that_passes_all_ends_the_others() -> None:
    replies = [Scripted("0.5", hangs=True), "1.0", Scripted("0.5", hangs=True)]
    async with Pool(engine := writing(*replies)):
        found = await best_of(attempt, PROMPT, n=3, by=passes)
        assert engine.running == engine.waiting == 0
    assert found.value is not None
    assert found.value.quality == 1.0
    assert engine.cancelled == 2

    async with Pool(writing("1.0", "0.1", "1.0")):
        found = await best_of(attempt, PROMPT, n=3, by=passes, enough=None)
    assert found.details["samples"] == 3


async def test_the_most_frequent_of_any_results() -> None:
    async with Pool(writing("0.20", "0.9", "0.2", "none", "0.90", "0.2")):
        found = await majority_of(
            attempt, PROMPT, n=6, same=lambda a, b: round(a.quality, 1) == round(b.quality, 1)
        )
    assert found.value is not None
    assert found.value.quality == 0.2
    assert [(patch.quality, votes) for patch, votes in found.votes] in (
        [(0.2, 3), (0.9, 2)],
        [(0.2, 3), (0.9, 1)],  # the last need not be awaited
        [(0.9, 2), (0.2, 3)],
    )


@pytest.mark.parametrize(
    ("spec", "quality"),
    [
        ("majority(n=6, confidence=0.7)", 0.5),
        ("weighted_majority(n=6, verifier=function)", 0.9),
        ("short_m_at_k(m=6, k=6)", 0.5),
        ("best_of_n(n=6, verifier=function, of=majority(n=1))", 0.9),
    ],
)
async def test_any_strategy_that_draws_samples(spec: str, quality: float) -> None:
    texts = ["0.5", "0.5", "0.9", "0.9", "0.5", "0.1"]

    numbers = count()

    async def attempt() -> float:
        return float(texts[next(numbers)])

    async with Pool(ScriptedEngine("unused")):
        found = await choose(spec, attempt, by=lambda number: number)
    assert found.value == quality


async def test_attempts_that_fail_are_samples_less() -> None:
    numbers = count()

    @node
    async def sometimes() -> str:
        match next(numbers):
            case 0:
                raise RequestRejected("no")
            case 1:
                raise OutputError("no JSON")
            case _:
                return (await generate(PROMPT)).text

    async with Pool(writing("a", "a", "a")) as pool:
        done = await run(majority_of, sometimes, n=8, pool=pool, budget=Limits(calls=2))
    found = done.value
    assert (found.value, found.details["failed"], found.details["budget"]) == ("a", 2, "calls")

    async def never() -> str:
        raise RequestRejected("never")

    async with Pool(writing("a")):
        with pytest.raises(RequestRejected, match="never"):
            await majority_of(never, n=3)


async def test_other_errors_are_the_users_own() -> None:
    async def broken() -> str:
        raise ZeroDivisionError("mine")

    async with Pool(writing("a")):
        with pytest.raises(ZeroDivisionError, match="mine"):
            await majority_of(broken, n=3)


@pytest.mark.parametrize(
    ("spec", "by", "says"),
    [
        ("beam", None, "beam draws no samples that could be a node's results"),
        ("best_of_n(n=2)", lambda result: 1, "no verify prompt"),
        ("best_of_n(n=2, verifier=function)", None, "no exact check"),
        ("best_of_n(n=2, verifier=function)", lambda result: 7, "`by` gave the score 7"),
    ],
)
async def test_what_can_t_be_done_is_said(spec: str, by: Any, says: str) -> None:
    async def one() -> str:
        return "a"

    async with Pool(writing("a")):
        with pytest.raises(UsageError, match=says):
            await choose(spec, one, by=by)


async def test_it_is_a_part_of_the_program_around_it() -> None:
    async def program() -> float:
        found = await best_of(attempt, PROMPT, n=2, by=passes)
        return found.score or 0.0

    async with Pool(writing("0.2", "0.7")) as pool:
        done = await run(program, pool=pool)
    assert done.value == 0.7
    assert done.usage.calls == 2
    assert [e.data["name"] for e in done.events if e.kind == "node"].count("attempt") == 2
