"""Programs and strategies on two real vLLM replicas."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from weft import Pool, Prompt, Store, budget, fan_out, generate, run, score
from weft.backends.engine import OnDelta
from weft.backends.vllm import VLLMEngine
from weft.errors import BudgetExceeded
from weft.evals.tasks.puzzles.countdown_task import CountdownTask
from weft.search import parse_strategy
from weft.types import Delta, Request

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SOLVE = Prompt.user("solve 15 9 11 17 for 47")
MOST = 1900
"""Tokens of an answer that takes seconds, so that it does not end before it is left."""


class Endless(VLLMEngine):
    """Its answers go on to `max_tokens`; tells when one has begun."""

    begun: anyio.Event | None = None

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        def delta(one: Delta) -> None:
            on_delta(one)
            if self.begun is not None:
                self.begun.set()

        sampling = replace(request.sampling, ignore_eos=True)
        await super().complete(replace(request, sampling=sampling), delta)


async def idle(pool: Pool) -> None:
    """Wait until the engines themselves say that nothing runs."""
    while any([(await e.load()).running for e in pool.engines]):  # noqa: ASYNC110
        await anyio.sleep(0.02)


async def test_a_step_search_never_tokenises_again_and_hits_the_cache(replicas: list[str]) -> None:
    long = Prompt.user("solve 15 9 11 17 for 47\n" * 12)  # some blocks of 32 tokens
    async with Pool(replicas[0]) as pool:
        model = pool.model("solver")
        path, produced = long, ()
        rendered = await pool.render(model, long.messages, open=False)
        for k in range(3):
            step = await generate(path, stop="\n", max_tokens=24, temperature=0.0)
            produced += step.tokens
            path = step.prompt
            assert path.ids.get(model) is None  # nothing is rendered before it is sent
            if k:
                # All but the last, unfinished block of what was there is found again.
                assert step.usage.cached >= (step.usage.prompt - 1) // 32 * 32 - 32
                assert step.usage.cached > 0
            assert step.usage.prompt == len(rendered) + len(produced) - len(step.tokens)
        whole = await generate(long, max_tokens=len(produced), temperature=0.0)
    assert whole.tokens == produced
    assert whole.text == path.answer


async def test_scores_are_probabilities_through_the_prefix_cache(replicas: list[str]) -> None:
    steps = "11 - 9 = 2 | 15 17 2\n15 * 2 = 30 | 17 30\n"
    right = Prompt.user(f"verify 15 9 11 17 for 47\n{steps}")
    async with Pool(*replicas):
        first = await score(right, ["yes", "no"])
        assert 0.9 < first["yes"] + first["no"] <= 1.001
        again = await score(right, ["yes", "no"])
        assert again == pytest.approx(first, rel=1e-3)
        both = await score(right, ["yes", "yes no"])
        assert both["yes no"] <= both["yes"] * 1.001


async def test_leaving_a_fan_out_frees_the_engines(replicas: list[str]) -> None:
    rambling = Prompt.user("think 7 7 7 7 for 99")
    engines, begun = [*map(Endless, replicas)], anyio.Event()
    for engine in engines:
        engine.begun = begun

    async with Pool(*engines) as pool:

        async def sample(index: int) -> int:
            if not index:
                await begun.wait()  # others have said something, and have far to go
            await generate(rambling, max_tokens=MOST if index else 4, index=index)
            return index

        async def first_of_many() -> int:
            async with fan_out(sample, range(24)) as results:
                async for index in results:
                    return index
            raise AssertionError

        result = await run(first_of_many, pool=pool)
        assert result.value == 0
        assert result.usage.completion == 4
        assert result.usage.cancelled > 0
        assert pool.scheduler.in_flight == 0
        await idle(pool)


async def test_a_budget_aborts_in_the_engine(replicas: list[str]) -> None:
    async with Pool(Endless(replicas[0])) as pool:
        with budget(tokens=200) as limit, pytest.raises(BudgetExceeded):
            await generate(Prompt.user("think"), max_tokens=MOST, n=8)
        # Beyond the limit is at most what came late: nothing, where calls are capped.
        assert 100 < limit.spent.total <= 200 + limit.late
        assert limit.spent.completion == 0
        await idle(pool)


@pytest.mark.loops("asyncio")  # on trio with the scripted engine
@pytest.mark.parametrize(
    "spec",
    [
        "greedy",
        "majority(n=4)",
        "weighted_majority(n=4)",
        "best_of_n(n=4)",
        "first_finish(n=3)",
        "short_m_at_k(m=2, k=4)",
        "beam(n=4, width=2)",
        "astar(k=3)",
        "particle_filter(n=4)",
    ],
)
async def test_every_strategy_answers_and_reruns_for_free(
    spec: str, replicas: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    task = CountdownTask()
    strategy = parse_strategy(spec)
    questions = [task.question(s, seed=3) for s in task.samples(2, seed=11)]
    file = tmp_path_factory.mktemp("store") / "calls.sqlite"
    answers, usages, sizes = [], [], []
    for _ in range(2):
        with Store(file) as store:
            async with Pool(*replicas, store=store) as pool:
                runs = [await run(strategy, q, pool=pool) for q in questions]
                assert pool.scheduler.in_flight == pool.scheduler.waiting == 0
            sizes.append(len(store))
        answers.append([r.value for r in runs])
        usages.append([r.usage for r in runs])
    assert all(a.text for a in answers[0])
    assert answers[0] == answers[1]
    assert usages[0] == usages[1]
    assert sizes[0] == sizes[1]
