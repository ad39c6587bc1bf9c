"""Embeddings in the usage of runs, and in budgets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from weft import Limits, Pool, ScriptedEngine, Store, budget, run
from weft.backends.mock.server import running
from weft.errors import BudgetExceeded, EngineError, UsageError
from weft.programs.figures.spans import spans_of
from weft.programs.history.event_file import read_events, write_events
from weft.retrieval import EmbeddingEndpoint, Searcher, Vectors
from weft.types import Price, Usage

PASSAGES = ["Bees make honey.", "Ants live in hills."]
WHOLE = sum(map(len, PASSAGES))  # a character is a token of the mock server's


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(ScriptedEngine(model="e5")) as address:
        yield f"{address}/v1"


async def indexed(url: str, **settings: Any) -> Vectors:
    index = Vectors(EmbeddingEndpoint("e5", url, **settings))
    await index.add(PASSAGES)  # outside a run: nobody's
    return index


async def test_what_embeddings_cost_is_the_runs(url: str, tmp_path: Path) -> None:
    async def build() -> str:
        index = Vectors(EmbeddingEndpoint("e5", url, price=Price(1000, 0)))
        await index.add(PASSAGES)
        return (await index.search(PASSAGES[0], 1))[0].text

    async with Pool(ScriptedEngine("-")) as pool:
        done = await run(build, pool=pool)
    assert done.value == PASSAGES[0]
    tokens = WHOLE + len(PASSAGES[0])
    assert done.usage.calls == 2
    assert done.usage.prompt == done.usage.total == tokens
    assert done.usage.dollars == pytest.approx(tokens / 1000)
    assert done.usage_by_model == {"e5": done.usage}
    nodes = [one for one in done.spans.values() if one.name == "embed"]
    write_events(tmp_path / "events.jsonl", done.events)
    again = spans_of(read_events(tmp_path / "events.jsonl"))
    assert [one.spent for one in again.values()] == [one.spent for one in done.spans.values()]
    assert [one.spent.prompt for one in nodes if one.spent is not None] == [WHOLE, len(PASSAGES[0])]


@pytest.mark.parametrize(
    ("limits", "resource"),
    [
        (Limits(calls=1), "calls"),
        (Limits(tokens=WHOLE), "tokens"),
        (Limits(dollars=0.06), "dollars"),
    ],
)
async def test_budgets_refuse_embeddings_that_do_not_fit(
    url: str, limits: Limits, resource: str
) -> None:
    async def build() -> None:
        index = Vectors(EmbeddingEndpoint("e5", url, price=Price(1000, 0)))
        await index.add(PASSAGES)
        await index.search("ants and bees " * 5)

    async with Pool(ScriptedEngine("-", price=Price(1, 1))) as pool:
        with budget(limits) as limit, pytest.raises(BudgetExceeded) as caught:
            await run(build, pool=pool)
        assert caught.value.resource == resource
        assert (limit.spent.calls, limit.spent.total, limit.held.calls) == (1, WHOLE, 0)


async def test_dollars_need_a_price(url: str) -> None:
    index = await indexed(url)
    async with Pool(ScriptedEngine("-", price=Price(1, 1))) as pool:
        with budget(dollars=1), pytest.raises(UsageError, match=r"engine http://.* has none"):
            await run(index.search, "honey", pool=pool)


async def test_a_search_from_the_store_costs_what_it_did(url: str) -> None:
    index = await indexed(url)
    several: list[dict[str, Any]] = [{}, {"id": "one"}]
    for options in several:
        store, bills = Store(), list[Usage]()
        async with Pool(ScriptedEngine("-"), store=store) as pool:
            search = Searcher(index)

            async def look(search: Searcher = search) -> int:
                return len(await search.search("honey"))

            for _ in range(2):
                with budget(tokens=100) as limit:
                    done = await run(look, pool=pool, **options)
                bills += [done.usage, limit.spent]
                assert done.usage_by_model == {"e5": done.usage}
            free = await run(
                look, pool=pool, charge_stored=False, budget=Limits(tokens=1), **options
            )
        assert bills == [Usage(1, len("honey"))] * 4
        assert free.value == 2


async def test_what_is_refused_costs_nothing_and_what_is_under_way_its_estimate(url: str) -> None:
    async def ask(model: str) -> object:
        return await EmbeddingEndpoint(model, url)(["honey"])

    async with Pool(ScriptedEngine("-")) as pool:
        with budget(calls=9) as limit:
            with pytest.raises(EngineError):
                await run(ask, "another", pool=pool)
            assert limit.spent == Usage()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await run(ask, "e5", pool=pool)
            assert limit.spent.calls == 1
            assert limit.spent.prompt > 0
        assert limit.held.calls == 0
