from __future__ import annotations

import math
import random
from collections import Counter
from itertools import product
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.orchestrator.pool import Pool
from weft.search import PetsOnline
from weft.search.allocation.online_budgets import (
    PATTERNS,
    hit_curve,
    online_budgets,
    pattern,
    pattern_chances,
    vote_hits,
)
from weft.search.allocation.pets_online import read_budgets
from weft.search.answers.voting import tally

pytestmark = pytest.mark.loops("virtual")


def outcomes(shares: list[float], n: int):
    """All draws of n answers, each with its probability."""
    for drawn in product(range(len(shares)), repeat=n):
        yield drawn, math.prod(shares[answer] for answer in drawn)


def test_hits_of_votes_are_exact() -> None:
    hits = vote_hits([0.4, 0.6], 5)
    assert [hits[k] for k in (1, 2, 3, 4, 5)] == pytest.approx([0.6, 0.6, 0.648, 0.648, 0.68256])
    shares = [0.4, 0.3, 0.2, 0.1]
    hits = vote_hits(shares, 6)
    for k in (1, 3, 4, 6):
        expected = 0.0
        for drawn, chance in outcomes(shares, k):
            winner = tally(dict(enumerate(map(str, drawn)))).winner
            expected += chance * (winner is not None and winner.value == "0")
        assert hits[k] == pytest.approx(expected)
    assert vote_hits([1.0], 3) == [0, 1, 1, 1]


def test_chances_of_the_first_four() -> None:
    shares = [0.5, 0.25, 0.15, 0.1]
    expected = dict.fromkeys(PATTERNS, 0.0)
    for drawn, chance in outcomes(shares, 4):
        expected[pattern(list(Counter(drawn).values()), 4)] += chance
    assert pattern_chances(shares) == pytest.approx(expected)
    assert pattern([2], 4) == "211"  # two samples without an answer


def test_the_curve_is_near_the_votes() -> None:
    shares = [0.5, 0.3, 0.2]
    a, b = hit_curve(shares)
    hits = vote_hits(shares, 32)
    for k in (5, 10, 20, 32):
        assert NormalDist().cdf(a * math.sqrt(k) + b) == pytest.approx(hits[k], abs=0.02)


pools = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1), min_size=1, max_size=3
)


@given(pools, st.floats(4, 30), st.integers(4, 40))
@settings(max_examples=20, deadline=None)
def test_the_mean_is_kept(votes: list[dict[str, int]], mean: float, most: int) -> None:
    budgets = read_budgets(online_budgets(votes, mean, most))
    spent = 0.0
    for one in votes:
        chances = pattern_chances([n / sum(one.values()) for n in one.values()])
        spent += sum(chances[p] * budgets.get(p, 0) for p in PATTERNS)
    assert spent / len(votes) <= mean + 1e-6
    assert all(4 <= budget <= most for budget in budgets.values())


def test_a_plan_agrees_more_often_than_equal_shares() -> None:
    """On questions of the kind that it was made for, at no more samples in the mean."""
    kinds = [{"a": 99, "b": 1}] * 3 + [{"a": 12, "b": 8}] + [{"a": 9, "b": 6, "c": 5}]
    n = 9
    budgets = read_budgets(online_budgets(kinds, n))
    assert budgets["4"] < n < budgets["22"]
    rng = random.Random(2)
    planned = equal = samples = questions = 0
    for votes in kinds * 400:
        drawn = rng.choices(list(votes), list(votes.values()), k=64)
        budget = budgets[pattern(list(Counter(drawn[:4]).values()), 4)]
        samples += budget
        questions += 1
        planned += Counter(drawn[:budget]).most_common(1)[0][0] == "a"
        equal += Counter(drawn[:n]).most_common(1)[0][0] == "a"
    assert samples <= (n + 0.2) * questions
    assert planned > equal + 20  # of 2000


def test_what_no_plan_can_be_made_of() -> None:
    with pytest.raises(UsageError, match="votes of at least one problem"):
        online_budgets([{}], 8)
    with pytest.raises(UsageError, match="must be at least 4"):
        online_budgets([{"a": 3}], 3)


@pytest.mark.parametrize(
    ("first", "pattern", "requests"),
    [
        ("aaaa", "4", 4),
        ("aaba", "31", 7),
        ("aa?a", "31", 4),
        ("abab", "22", 9),
        ("abc?", "1111", 5),
    ],
)
async def test_pets_online(first, pattern, requests, question, player, by_index) -> None:
    """Votes without a plan get n; what can't change the vote is not drawn to its end."""
    texts = ["no idea" if c == "?" else f"answer {c}" for c in first + "xyzuvw"]
    strategy = PetsOnline(n=5, budgets="4:4 31:7 22:9")
    async with Pool(engine := player(by_index(*texts))):
        answer = await strategy(question)
    assert answer.value == "a"
    assert answer.details["first"] == pattern
    assert answer.details["planned"]
    assert len(engine.requests) == requests


async def test_without_a_plan(question, player, by_index) -> None:
    async with Pool(player(by_index(*["answer a", "answer b"] * 3))):
        answer = await PetsOnline(n=6)(question)
    assert answer.value == "a"
    assert answer.details["first"] == "22"
    assert not answer.details["planned"]
