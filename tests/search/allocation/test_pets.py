from __future__ import annotations

import random
from functools import partial
from operator import eq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.concurrency import TaskGroup
from weft.orchestrator.pool import Pool
from weft.search import Pets
from weft.search.allocation.agreement import gain, leader_stays
from weft.search.allocation.allotment import Allotment
from weft.search.answers.voting import sure

pytestmark = pytest.mark.loops("virtual")


def test_how_surely_the_leader_stays() -> None:
    for a, b in [(0, 0), (1, 0), (3, 1), (7, 7), (40, 20)]:
        assert leader_stays((a, b), 2) == pytest.approx(sure(a, b), abs=1e-8)
    assert leader_stays((), 5) == pytest.approx(1 / 5)
    # The integral of x e^-x (1 - e^-x)^2.
    assert leader_stays((1,), 3) == pytest.approx(1 - 2 / 4 + 1 / 9)
    assert leader_stays((9,), 1) == 1
    assert leader_stays((64,), 32) > 0.999


def test_what_a_further_sample_is_worth() -> None:
    assert gain((1, 0), 2) == pytest.approx(sure(2, 0) - sure(1, 0), abs=1e-8)
    # From 2:1 the best that can come is 3:1; from 2:2 it is 3:2.
    assert gain((2, 1), 2) == pytest.approx(sure(3, 1) - sure(2, 1), abs=1e-8)
    assert gain((6, 0), 2) < gain((6, 4), 2) < gain((1, 1), 2)


async def shared(
    truths: list[float], allotment: Allotment, seed: int, answers: int = 2
) -> list[dict[str, int]]:
    """What questions got, of which the answer "0" has each a given probability."""
    votes: list[dict[str, int]] = [{} for _ in truths]

    async def answer(q: int) -> None:
        rng = random.Random(f"{seed} {q}")
        with allotment.join(eq) as seat:
            while samples := await seat.turn():
                for _ in range(samples):
                    wrong = str(rng.randrange(1, answers))
                    value = "0" if rng.random() < truths[q] else wrong
                    seat.came(sum(votes[q].values()), value)
                    votes[q][value] = votes[q].get(value, 0) + 1

    async with TaskGroup() as group:
        for q in range(len(truths)):
            group.start_soon(answer, q)
    return votes


def agreeing(votes: list[dict[str, int]]) -> int:
    """For how many questions most votes are for "0", the likeliest answer."""
    return sum(max(v, key=lambda a: v[a]) == "0" for v in votes)


async def test_more_votes_agree_with_infinitely_many_than_if_all_had_equal_shares() -> None:
    truths = [0.999] * 8 + [0.75] * 8
    n, uniform, found = 4, 0, 0
    for seed in range(12):
        equal = Allotment(len(truths), n * len(truths), 1, lambda counts: -sum(counts), n)
        votes = await shared(truths, equal, seed)
        assert [sum(v.values()) for v in votes] == [n] * len(truths)
        uniform += agreeing(votes)
        pets = Allotment(len(truths), n * len(truths), 1, partial(gain, places=2), 64)
        votes = await shared(truths, pets, seed)
        assert sum(sum(v.values()) for v in votes) == n * len(truths)
        found += agreeing(votes)
        sure_ones = [sum(v.values()) for v in votes[:8]]
        assert max(sure_ones) <= n
        assert 2 * sum(sure_ones) < n * len(truths)
    assert 192 - found < (192 - uniform) * 0.6


@given(
    questions=st.integers(1, 6),
    missing=st.integers(0, 2),
    n=st.integers(1, 5),
    at_once=st.integers(1, 9),
    most=st.integers(1, 9),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_an_allotment_is_never_exceeded_and_all_end(
    questions, missing, n, at_once, most, seed
) -> None:
    """Whatever order samples come in; some questions never come, some leave with samples due."""
    import trio

    rng = random.Random(seed)
    samples = n * questions
    allotment = Allotment(questions, samples, at_once, partial(gain, places=3), most)
    given_, running, peak = [0] * questions, 0, 0

    async def answer(q: int) -> None:
        nonlocal running, peak
        leaves = rng.choice((None, None, 2))
        with allotment.join(eq) as seat:
            while got := await seat.turn():
                given_[q] += got
                running += got
                peak = max(peak, running)
                if leaves is not None and given_[q] >= leaves:
                    running -= got
                    return
                for i in range(got):
                    await trio.sleep(rng.random())
                    running -= 1
                    seat.came(given_[q] - i, rng.choice(("a", "b", None)))

    async def all_of_them() -> None:
        async with trio.open_nursery() as nursery:
            for q in range(max(0, questions - missing)):
                nursery.start_soon(answer, q)

    trio.run(all_of_them, clock=trio.testing.MockClock(autojump_threshold=0))
    assert sum(given_) <= samples
    assert peak <= at_once
    assert all(1 <= got <= most for got in given_[: questions - missing])


async def test_a_question_alone_gets_n_samples(question, player, by_index) -> None:
    replies = ["answer a", "answer b", "no idea", "answer b", "answer c"]
    async with Pool(engine := player(by_index(*replies))):
        answer = await Pets(n=5)(question)
    assert (answer.value, answer.score) == ("b", 0.5)
    assert answer.details == {"samples": 5, "unparsable": 1, "votes": {"a": 1, "b": 2, "c": 1}}
    assert len(engine.requests) == 5
