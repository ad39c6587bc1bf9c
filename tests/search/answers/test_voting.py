from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.search.answers.voting import Election, Tally, sure, tally


def winner(count: Tally) -> str | None:
    return count.winner.value if count.winner else None


def accuracy(n: int, p: float) -> float:
    """Probability that a vote of n is right, by going through all outcomes."""
    total = 0.0
    for outcome in product((True, False), repeat=n):
        count = tally(dict(enumerate("right" if right else "wrong" for right in outcome)))
        if winner(count) == "right":
            total += p ** sum(outcome) * (1 - p) ** (n - sum(outcome))
    return total


def test_majority_accuracy_is_the_binomial_one() -> None:
    assert accuracy(1, 0.6) == pytest.approx(0.6)
    assert accuracy(3, 0.6) == pytest.approx(0.648)
    assert accuracy(5, 0.6) == pytest.approx(0.68256)
    # Ties go to the earliest sample, which is right with probability p: even n adds nothing.
    assert accuracy(4, 0.6) == pytest.approx(0.648)
    assert accuracy(1, 0.4) > accuracy(3, 0.4) > accuracy(5, 0.4)


def test_order_ties_and_unparsable() -> None:
    count = tally({3: "b", 0: None, 1: "a", 2: "b", 5: "a", 4: None})
    assert [(c.value, c.members) for c in count.clusters] == [("a", (1, 5)), ("b", (2, 3))]
    assert count.unparsable == 2
    assert winner(count) == "a"
    assert count.share == 0.5
    assert winner(tally({0: None})) is None
    assert tally({}).share == 0.0


def test_equivalence() -> None:
    def close(a: str, b: str) -> bool:
        return float(a) == float(b)

    count = tally({0: "2", 1: "3", 2: "2.0"}, same=close)
    assert winner(count) == "2"
    assert count.winner is not None
    assert count.winner.members == (0, 2)


answers = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=9)


@given(answers, st.randoms(use_true_random=False))
def test_a_settled_vote_is_the_full_vote(values: list[str | None], random) -> None:
    full = winner(tally(dict(enumerate(values))))
    order = list(range(len(values)))
    random.shuffle(order)
    seen: dict[int, str | None] = {}
    for index in order:
        seen[index] = values[index]
        if (count := tally(seen)).settled(set(order) - seen.keys()):
            assert winner(count) == full
            break
    else:
        raise AssertionError("a full vote is settled")


@given(st.lists(st.sampled_from(["a", "b", None]), max_size=3), st.integers(1, 3), st.data())
def test_settled_as_early_as_can_be(values: list[str | None], more: int, data) -> None:
    """Settled exactly when no way of voting of the rest can change the winner."""
    indices = data.draw(st.permutations(range(len(values) + more)))
    seen = dict(zip(indices, values, strict=False))
    pending = indices[len(values) :]
    count = tally(seen)
    can_change = any(
        winner(tally(seen | dict(zip(pending, rest, strict=True)))) != winner(count)
        for rest in product(("a", "b", "new", None), repeat=more)
    )
    if winner(count) is not None:
        assert count.settled(pending) == (not can_change)
    election = Election(indices)
    for index, value in seen.items():
        election.add(index, value)
    assert election.settled() == count.settled(pending)


def test_counts_are_kept() -> None:
    """Each way of writing an answer is compared with each cluster once, whatever is asked."""
    compared: list[tuple[str, str]] = []

    def same(a: str, b: str) -> bool:
        compared.append((a, b))
        return a.casefold() == b.casefold()

    election = Election(range(100), same)
    for i in reversed(range(99)):
        election.add(i, "aAbB"[i % 4])
        assert election.settled() == (i == 0)
    assert compared == [("b", "A"), ("b", "a"), ("A", "a"), ("b", "B")]
    assert [(c.value, c.weight) for c in election.tally.clusters] == [("a", 50.0), ("b", 49.0)]


def test_how_sure_a_lead_is() -> None:
    """Above 0.95 the Beta posterior ends sampling, and not before."""
    votes = {(3, 0): 15 / 16, (4, 0): 31 / 32, (5, 1): 15 / 16, (6, 1): 247 / 256}
    for (a, b), expected in votes.items():
        assert sure(a, b) == expected
        assert sure(b, a) == 1 - expected
        election = Election(range(99))
        for i, value in enumerate("c" + "b" * b + "a" * a):
            election.add(i, value)
        election.add(50, None)
        assert election.sure == sure(a, max(b, 1))
    assert [v > 0.95 for v in votes.values()] == [False, True, False, True]
    assert Election(range(3)).sure == 0
    # Beta(3, 2) above 1/2, integrated: 12 x^2 (1 - x) from 1/2 to 1.
    assert sure(2, 1) == pytest.approx(1 - (4 / 8 - 3 / 16))


weighted = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 64).map(lambda i: i / 64)),
    min_size=1,
    max_size=9,
)


@given(weighted)
def test_equal_weights_are_a_majority(votes: list[tuple[str, float]]) -> None:
    values = {i: v for i, (v, _) in enumerate(votes)}
    assert winner(tally(values, dict.fromkeys(values, 0.3))) == winner(tally(values))


@given(weighted, st.data())
def test_one_weight_above_all_is_the_best(votes: list[tuple[str, float]], data) -> None:
    values = {i: v for i, (v, _) in enumerate(votes)}
    best = data.draw(st.sampled_from(sorted(values)))
    weights = {i: w for i, (_, w) in enumerate(votes)} | {best: 100.0}
    assert winner(tally(values, weights)) == values[best]


@given(weighted, st.data())
def test_splitting_a_sample_changes_nothing(votes: list[tuple[str, float]], data) -> None:
    values = {2 * i: v for i, (v, _) in enumerate(votes)}
    weights = {2 * i: w for i, (_, w) in enumerate(votes)}
    split = data.draw(st.sampled_from(sorted(values)))
    halves = weights | {split: weights[split] / 2, split + 1: weights[split] / 2}
    before, after = tally(values, weights), tally(values | {split + 1: values[split]}, halves)
    assert winner(before) == winner(after)
    assert [c.weight for c in before.clusters] == [c.weight for c in after.clusters]
