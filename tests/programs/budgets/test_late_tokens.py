"""More than a budget is spent only by what engines report late, whatever they do."""

from __future__ import annotations

import random
from dataclasses import dataclass

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft import Pool, Prompt, Run, ScriptedEngine, budget, fan_out, generate, run
from weft.backends.scripted.engine import Scripted
from weft.errors import WeftError
from weft.types import Price, Request

PRICE = Price(prompt=1e4, completion=1e5)


@dataclass(frozen=True)
class Case:
    """What is asked of which engines, under which limits."""

    seed: int
    engines: int
    slots: int
    tokens: bool
    tasks: int
    most: int | None
    letters: int
    outer: int
    inner: int | None
    dollars: float | None


CASES = st.builds(
    Case,
    st.integers(0, 10**6),
    st.integers(1, 3),
    st.sampled_from([1, 3, 64]),
    st.booleans(),
    st.integers(1, 12),
    st.sampled_from([None, 10, 50, 200]),
    st.integers(1, 150),
    st.integers(5, 1200),
    st.one_of(st.none(), st.integers(5, 500)),
    st.one_of(st.none(), st.floats(0.5, 80)),
)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@given(CASES)
@settings(max_examples=25)
def test_the_bound_holds(loop: str, case: Case) -> None:
    chance = random.Random(case.seed)

    def reply(_: Request) -> Scripted:
        return Scripted(
            "y" * chance.randrange(90),
            dies_after=chance.choice([None, None, None, 1, 30]),
            status=chance.choice([None] * 5 + [500]),
        )

    budgets: list[budget] = []

    async def ask(i: int) -> None:
        try:
            with budget(tokens=case.inner) as own:
                budgets.append(own)
                for _ in range(2):
                    await generate(
                        Prompt.user(f"{i}" + "x" * case.letters), max_tokens=case.most, n=2
                    )
        except WeftError:
            pass

    async def all_of_them() -> None:
        with budget(tokens=case.outer, dollars=case.dollars) as whole:
            budgets.append(whole)
            async with fan_out(ask, range(case.tasks)) as tasks:
                async for _ in tasks:
                    pass

    async def main() -> Run[None]:
        engines = [
            ScriptedEngine(
                reply,
                name=f"e{at}",
                concurrency=case.slots,
                takes_tokens=case.tokens,
                price=PRICE,
            )
            for at in range(case.engines)
        ]
        async with Pool(*engines) as pool:
            return await run(all_of_them, pool=pool)

    done = anyio.run(main, backend=loop)
    late = 0  # what prompts sent as text were longer than they were taken for
    for event in done.events:
        if (outcome := event.data.get("outcome")) is not None and outcome.finish_reason:
            late += max(0, outcome.usage.prompt - outcome.prompt_tokens * outcome.usage.calls)
    assert case.tokens <= (late == 0)
    for one in budgets:
        limits = one.limits
        assert one.late <= late
        if limits.tokens is not None:
            assert one.spent.total <= limits.tokens + late
        if limits.dollars is not None:
            assert one.spent.dollars <= limits.dollars + late * PRICE.prompt / 1e6 + 1e-6
        assert (one.held.calls, one.held.tokens) == (0, 0)
    assert budgets[0].spent.total == done.usage.total
