"""Shuffled choices: who likes a place is neutralised; who knows is heard wherever it stands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Limits, Prompt, run
from weft.search import Answer, ChoiceShuffle, Majority, Question, parse_strategy
from weft.search.choices import LETTERS, Choices, lettered, reordered
from weft.types import Request

OPTIONS = ("iron", "gold", "lead", "zinc")


def letter(text: str) -> str | None:
    found = re.search(r"answer ([A-J](?:, [A-J])*)", text)
    return found[1] if found else None


def ask(options: Sequence[str]) -> Question:
    text = lettered("Which is Au?", options)
    return Question(
        Prompt.user(text),
        answer=letter,
        complete=lambda text: letter(text) is not None,
        verify=lambda answer: Prompt.user(f"{text}\n{answer}"),
    )


def asked(options: Sequence[str] = OPTIONS, seed: int = 3) -> Question:
    return replace(ask(options), seed=seed, choices=Choices(tuple(options), ask))


def options_in(request: Request) -> list[str]:
    return re.findall(r"^[A-J]\. (.*)$", request.messages[0].content, re.MULTILINE)


async def solved(strategy, question: Question, reply: Callable[[Request], str], **more) -> Answer:
    async with Pool(ScriptedEngine(reply, **more)):
        return await strategy(question)


@given(st.integers(2, 10), st.integers(1, 23), st.integers(0, 2**31 - 1))
def test_each_option_stands_at_each_place_equally_often(k: int, n: int, seed: int) -> None:
    orders = Choices(tuple(map(str, range(k))), ask).orders(seed, n)
    assert len(orders) == n
    assert all(sorted(order) == list(range(k)) for order in orders)
    for begin in range(0, n - k + 1, k):
        for place in range(k):
            assert {order[place] for order in orders[begin : begin + k]} == set(range(k))


def test_options_that_speak_of_places() -> None:
    last = Choices(("iron", "gold", "lead", "None of the above"), ask).orders(1, 6)
    assert {order[3] for order in last} == {3}
    assert {order[0] for order in last} == {0, 1, 2}
    both = Choices(("iron", "gold", "lead", "Both A and B"), ask).orders(1, 3)
    assert both == [(0, 1, 2, 3)] * 3


@pytest.mark.parametrize("of", ["", ", of=majority(n=3)"])
async def test_who_likes_a_place_votes_for_all_alike(of: str) -> None:
    for place in "ABCD":
        strategy = parse_strategy(f"choice_shuffle(n=8{of})")
        answer = await solved(strategy, asked(), lambda _, place=place: f"answer {place}")
        assert answer.details["votes"] == dict.fromkeys("ABCD", 2)
        # An option that comes first by chance, and not by its place.
    winners = Counter[str | None]()
    for seed in range(24):
        answer = await solved(ChoiceShuffle(n=4), asked(seed=seed), lambda _: "answer A")
        winners[answer.value] += 1
    assert set(winners) == set("ABCD")


async def test_who_knows_is_heard_though_it_likes_a_place() -> None:
    def reply(request: Request) -> str:
        place = options_in(request).index("gold")
        return f"answer {LETTERS[place]}" if place in (0, 2) else "answer A"

    answer = await solved(ChoiceShuffle(n=4), asked(), reply)
    assert (answer.value, answer.details["shuffled"]) == ("B", True)
    assert answer.details["votes"]["B"] == 2
    assert (await solved(Majority(n=4), asked(), reply)).value == "A"


async def test_who_knows_is_right_in_every_order_and_stops_early() -> None:
    engine = ScriptedEngine(lambda r: f"answer {LETTERS[options_in(r).index('lead')]}")
    async with Pool(engine):
        answer = await ChoiceShuffle(n=9)(asked())
    assert (answer.value, answer.details["votes"]["C"]) == ("C", answer.details["samples"])


async def test_verifiers_see_the_options_as_the_sample_saw_them() -> None:
    def judge(request: Request) -> dict[str, float]:
        words = request.messages[0].content
        right = options_in(request)[LETTERS.index(words.rpartition("answer ")[2][0])] == "zinc"
        return {"yes": 0.9 if right else 0.1, "no": 0.1 if right else 0.9}

    def reply(request: Request) -> str:
        return f"answer {LETTERS[(request.sampling.seed or 0) % 4]}"

    strategy = parse_strategy("choice_shuffle(n=5, of=best_of_n(n=12))")
    answer = await solved(strategy, asked(), reply, scores=judge)
    assert answer.value == "D"


def test_answers_are_told_in_the_old_letters() -> None:
    question = reordered(asked(), (2, 0, 3, 1))
    assert [question.answer(f"answer {one}") for one in "ABCD"] == list("CADB")
    assert question.answer("answer A, D") == "B, C"
    assert question.answer("answer E") is None
    assert question.answer("no idea") is None
    assert question.seed == 3


async def test_without_choices_it_is_a_plain_vote() -> None:
    plain = replace(asked(), choices=None)
    answer = await solved(ChoiceShuffle(n=5), plain, lambda _: "answer B")
    assert (answer.value, answer.details["shuffled"]) == ("B", False)


async def test_what_a_budget_cuts_off_is_read_in_the_right_letters() -> None:
    def reply(request: Request) -> str:
        return f"answer {LETTERS[options_in(request).index('zinc')]}, as is well known to all"

    values: list[str | None] = []
    for tokens in (30, 60, 90, 150):
        async with Pool(ScriptedEngine(reply)) as pool:
            done = await run(ChoiceShuffle(n=4), asked(), pool=pool, budget=Limits(tokens=tokens))
        values.append(done.value.value)
        assert done.value.details["budget"] == "tokens"
    assert values == [None, "D", "D", "D"]  # of the second the text is broken off
