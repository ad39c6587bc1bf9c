"""What all strategies have in common."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from strategy_specs import EACH
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import PartFailed, RequestRejected, Unsupported
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import parse_strategy, strategies
from weft.search.strategy import stable_seed

SPECS = [
    *EACH,
    "beam(n=4, width=2, pick=vote, verifier=function)",
    "particle_filter(n=6, weight=ratio, resample=systematic, pick=vote)",
]
STEPS = [
    spec
    for spec in SPECS
    if "steps" in (one := parse_strategy(spec)).needs and one.family == "search"
]
"""Those that search among steps; a strategy that writes one answer takes them as they come."""


def test_none_is_left_out() -> None:
    assert {s.partition("(")[0] for s in SPECS} == set(strategies())


@pytest.mark.parametrize("spec", SPECS)
async def test_answers(spec: str, question, player) -> None:
    async with Pool(engine := player()) as pool:
        done = await run(parse_strategy(spec), question, pool=pool)
    answer = done.value
    assert answer.text is not None
    assert answer.value == question.answer(answer.text)
    assert answer.value is not None
    assert "budget" not in answer.details
    assert engine.running == engine.waiting == 0
    # It is a program of its own name, and what it did together was announced as a fan-out.
    begun = next(e for e in done.events if e.kind == "program")
    assert begun.data["name"] == spec.partition("(")[0]
    assert any(e.kind == "fan_out" for e in done.events)


@pytest.mark.parametrize("spec", STEPS)
async def test_step_searches_go_on_with_exact_tokens(spec: str, question, player) -> None:
    async with Pool(engine := player()):
        answer = await parse_strategy(spec)(question)
    steps = [r for r in engine.requests if not r.ask]
    assert all(r.open for r in steps if r.messages[-1].role == "assistant")
    assert any(r.messages[-1].content == "3\n" and r.open for r in steps)
    assert {r.sampling.stop for r in steps} == {("\n",)}
    assert answer.text is not None
    assert answer.text.count("\n") == 3


@pytest.mark.parametrize(
    "spec",
    [
        "beam(n=16, width=4)",
        "dvts(n=16, width=8)",
        "rebase(n=16)",
        "astar(k=6)",
        "particle_filter(n=24, pick=vote)",
        "mcts(n=40)",
    ],
)
async def test_guided_searches_find_the_goal(spec: str, question, player) -> None:
    async with Pool(player()):
        answer = await parse_strategy(spec)(question)
    assert answer.value == "312"
    assert answer.score == pytest.approx(0.9)


@pytest.mark.parametrize("spec", SPECS)
async def test_equal_seeds_give_equal_answers(spec: str, question, player) -> None:
    answers = []
    for seconds in (0.0, 0.0001):
        async with Pool(player(token_seconds=seconds, concurrency=3)):
            answers.append(await parse_strategy(spec)(question))
    if "parallel" in spec or "m=2" in spec or "first" in spec:  # these depend on time by nature
        assert answers[0].value is not None
    else:
        assert answers[0].text == answers[1].text
        assert answers[0].score == answers[1].score


@pytest.mark.loops("asyncio")  # what a budget leaves is the same on either
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    "limits",
    [
        Limits(calls=1),
        Limits(calls=6),
        Limits(tokens=30),
        Limits(tokens=200),
    ],
    ids=lambda b: f"{b.calls or b.tokens}-{'calls' if b.calls else 'tokens'}",
)
async def test_a_budget_leaves_the_best_so_far(spec: str, limits, question, player) -> None:
    async with Pool(engine := player()) as pool:
        done = await run(parse_strategy(spec), question, pool=pool, budget=limits)
        assert engine.running == engine.waiting == 0
        requests = len(engine.requests)
        await anyio.wait_all_tasks_blocked()
        assert len(engine.requests) == requests
    answer = done.value
    if limits.calls is not None:
        assert done.usage.calls <= limits.calls
    if answer.details.get("budget") is None:
        assert answer.value is not None
    else:
        assert answer.details["budget"] == ("calls" if limits.calls else "tokens")
    if answer.text is None:
        assert answer.value is None
    else:
        assert answer.value in (None, question.answer(answer.text))


@pytest.mark.parametrize("spec", SPECS)
async def test_leaving_stops_everything(spec: str, question, player) -> None:
    """Whenever a strategy is cancelled, its calls are aborted in the engine."""
    for delay in (0.0, 0.003, 0.01):
        async with Pool(engine := player(token_seconds=0.0005)):
            with anyio.move_on_after(delay):
                await parse_strategy(spec)(question)
            assert engine.running == engine.waiting == 0
            requests = len(engine.requests)
            await anyio.wait_all_tasks_blocked()
            assert len(engine.requests) == requests


@pytest.mark.parametrize("spec", SPECS)
async def test_an_engines_error_comes_as_it_is(spec: str, question, player) -> None:
    async with Pool(engine := player(lambda r: Scripted(refuses="no more"))):
        with pytest.raises(RequestRejected, match="no more"):
            await parse_strategy(spec)(question)
        assert engine.running == engine.waiting == 0


@pytest.mark.parametrize("spec", STEPS)
async def test_an_error_of_a_tasks_own_stops_what_runs_beside_it(
    spec: str, question, player
) -> None:
    calls = iter(range(999))

    def reply(request):
        return "1\n" if next(calls) == 2 else Scripted("1\n", hangs=True)

    def complete(text: str) -> bool:
        raise ZeroDivisionError(text)

    theirs = replace(question, complete=complete)
    async with Pool(engine := player(reply)):
        with pytest.raises(PartFailed, match="ZeroDivisionError"):
            await parse_strategy(spec)(theirs)
        assert engine.running == engine.waiting == 0
        assert engine.cancelled > 0


@pytest.mark.parametrize("spec", STEPS)
async def test_an_engine_that_cannot_continue(spec: str, question) -> None:
    async with Pool(ScriptedEngine("1\n", {"yes": 0.5, "no": 0.5}, takes_tokens=False)):
        with pytest.raises(Unsupported):
            await parse_strategy(spec)(question)


def test_seeds_are_stable() -> None:
    assert stable_seed(0, 0) == 474062323
    assert stable_seed(0, "text", 1) != stable_seed(0, "text", 2)
    assert 0 <= stable_seed("x") < 2**31
