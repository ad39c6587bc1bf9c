"""Answers that take long to compare are compared beside the event loop, whoever asks a strategy."""

from __future__ import annotations

import threading

import pytest

from weft import Limits, Pool, Prompt, run
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.search import Question, parse_strategy


class Comparer:
    """Compares words, remembers, and notes in which threads it had to think."""

    def __init__(self) -> None:
        self.known: dict[frozenset[str], bool] = {}
        self.threads: list[int] = []

    def same(self, a: str, b: str) -> bool:
        pair = frozenset((a, b))
        if pair not in self.known:
            self.threads.append(threading.get_ident())
            self.known[pair] = pair == {"iv", "four"}
        return self.known[pair]

    def question(self, *, slow: bool = True) -> Question:
        prompt = Prompt.user("2 + 2?")
        return Question(prompt, _last, lambda text: False, same=self.same, slow=slow)


def _last(text: str) -> str | None:
    return text.split()[1] if text.startswith("so ") else None


@pytest.mark.parametrize("slow", [True, False])
async def test_a_vote_finds_its_answers_compared(slow: bool) -> None:
    texts, comparer = iter(["so five", "so iv", "so four", "so six"]), Comparer()
    engine = ScriptedEngine(lambda request: next(texts))
    async with Pool(engine) as pool:
        vote = parse_strategy("majority(n=4, stop_early=false)")
        answer = (await run(vote, comparer.question(slow=slow), pool=pool)).value
    assert answer.details["votes"][answer.value] == 2
    here = threading.get_ident()
    assert len(comparer.threads) == (6 if slow else 4), "each pair, or one of each that are alike"
    assert {thread == here for thread in comparer.threads} == {not slow}


async def test_texts_that_a_budget_broke_off_are_compared_beside_the_loop_too() -> None:
    comparer = Comparer()
    texts = iter(["so five", "so iv", "so four"])
    engine = ScriptedEngine(lambda request: Scripted(f"{next(texts)} {'.' * 500}"))
    question = comparer.question()
    async with Pool(engine) as pool:
        vote = parse_strategy("majority(n=3)")
        budget = Limits(tokens=150)
        answer = (await run(vote, question, pool=pool, budget=budget)).value
    assert answer.text is not None
    assert threading.get_ident() not in comparer.threads
