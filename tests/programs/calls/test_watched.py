"""Answers that are ended by what watches them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from weft.backends.engine import OnDelta
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import BudgetExceeded
from weft.orchestrator.pool import Pool
from weft.programs import Completion, Limits, Prompt, budget, generate, run
from weft.programs.scope.hearing import hearing
from weft.programs.watching import Look, Monitor, watching
from weft.store.store import Store
from weft.types import Delta, Request

ASKED = Prompt.user("count")
TEXT = "abcdefghij"


@dataclass
class After(Monitor):
    """Ends answers after so many tokens; counts the answers that it has looked at."""

    tokens: int
    begun: int = 0

    @property
    def key(self) -> str:
        return f"after {self.tokens}"

    def begin(self) -> Look:
        self.begun += 1
        seen = 0

        def look(delta: Delta) -> int | None:
            nonlocal seen
            before, seen = seen, seen + len(delta.logprobs)
            return self.tokens - before if before < self.tokens <= seen else None

        return look


class InPieces(ScriptedEngine):
    """Hands out so many tokens at once."""

    def __init__(self, size: int, replies: Any = TEXT, **settings: Any) -> None:
        super().__init__(replies, token_seconds=0.001, **settings)
        self.size = size

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        held: list[Delta] = []

        def hold(delta: Delta) -> None:
            held.append(delta)
            if len(held) == self.size or delta.finish_reason is not None:
                on_delta(joined(held))
                held.clear()

        await super().complete(request, hold)


def joined(deltas: Sequence[Delta]) -> Delta:
    return replace(
        deltas[-1],
        text="".join(d.text for d in deltas),
        tokens=tuple(t for d in deltas for t in d.tokens),
        count=sum(d.count for d in deltas),
        logprobs=tuple(one for d in deltas for one in d.logprobs),
    )


async def cut_after(tokens: int) -> Completion:
    with watching(After(tokens)):
        return await generate(ASKED, logprobs=0, seed=1)


@pytest.mark.parametrize("size", [1, 3, 4, 99])
async def test_the_answer_ends_at_the_token_whatever_the_pieces(size: int) -> None:
    engine = InPieces(size)
    async with Pool(engine) as pool:
        done = await run(cut_after, 5, pool=pool)
        first = done.value
        assert engine.running == 0
        assert engine.cancelled == (size < 99)
    assert (first.text, first.finish_reason, first.ended) == ("abcde", "cut", False)
    assert first.tokens == engine.vocabulary.encode("abcde")
    assert [one.token for one in first.logprobs] == list("abcde")
    assert not first.whole
    # What was under way behind the end was paid for, and not kept.
    assert first.usage.completion == 5
    assert first.usage.cancelled == {1: 0, 3: 1, 4: 3, 99: 6}[size]
    assert done.usage == first.usage


async def test_going_on_keeps_the_ids() -> None:
    engine = InPieces(4)
    async with Pool(engine):
        first = await cut_after(5)
        await generate(first.prompt.assistant(" wait", open=True))
    asked = engine.vocabulary.render(ASKED.messages, open=False)
    told = engine.requests[1].tokens
    assert told is not None
    assert tuple(told) == (*asked, *first.tokens, *engine.vocabulary.encode(" wait"))


async def test_bytes_of_a_character_that_was_cut_go_on() -> None:
    engine = InPieces(2, lambda request: "é!" if request.open else "aé!", bytes=True)
    async with Pool(engine):
        first = await cut_after(2)
        assert (first.text, len(first.tokens)) == ("a", 2)
        assert (await generate(first.prompt)).text == "é!"


async def test_an_answer_that_is_not_ended_is_as_ever() -> None:
    async with Pool(InPieces(4)):
        watched, other = await cut_after(11), await generate(ASKED, logprobs=0, seed=1)
    assert watched.prompt == other.prompt
    assert watched.usage.completion == other.usage.completion == 11
    assert watched.whole
    assert watched.ended


async def test_a_rerun_finds_it_and_another_watch_does_not(tmp_path) -> None:
    with Store(tmp_path / "store") as store:
        async with Pool(engine := InPieces(4)) as pool:
            first = await run(cut_after, 5, pool=pool, store=store)
            again = await run(cut_after, 5, pool=pool, store=store)
            assert len(engine.requests) == 1
            assert again.value.prompt == first.value.prompt
            assert again.usage == first.usage
            other = await run(cut_after, 6, pool=pool, store=store)
            assert other.value.text == "abcdef"
            assert len(engine.requests) == 2


async def test_an_attempt_that_follows_is_looked_at_anew() -> None:
    flaky = Scripted(TEXT, dies_after=3)
    engines = [ScriptedEngine(flaky if i == 0 else TEXT, name=str(i)) for i in range(2)]
    watch = After(5)
    async with Pool(*engines) as pool:

        async def twice() -> Completion:
            with watching(watch):
                return await generate(ASKED, logprobs=0)

        done = await run(twice, pool=pool)
    assert done.value.text == "abcde"
    assert watch.begun == sum(len(e.requests) for e in engines)
    assert done.usage.generated == 5 + 3 * (watch.begun - 1)


async def test_budgets_are_charged_for_what_was_generated() -> None:
    async with Pool(InPieces(4)) as pool:
        whole = await run(cut_after, 5, pool=pool)
        for tokens in range(1, whole.usage.total):
            with pytest.raises(BudgetExceeded):
                await run(cut_after, 5, pool=pool, budget=Limits(tokens=tokens))
        last = await run(cut_after, 5, pool=pool, budget=Limits(tokens=whole.usage.total + 1))
        assert last.value.text == "abcde"


async def test_what_was_ended_is_heard_of_as_not_whole() -> None:
    async with Pool(InPieces(4)):
        with hearing() as heard:
            await cut_after(5)
    assert [(h.outcome.text, h.whole) for h in heard] == [("abcde", False)]


async def test_budgets_hear_what_was_kept_of_a_cut_answer() -> None:
    async with Pool(ScriptedEngine("abcdefgh")):
        with budget(tokens=100) as limit, watching(After(3)):
            said = await generate(Prompt.user("a"), logprobs=0)
    assert (said.text, said.usage.completion) == ("abc", 3)
    assert limit.spent == said.usage
