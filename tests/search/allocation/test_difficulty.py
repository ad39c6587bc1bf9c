from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.search.allocation.difficulty import DifficultyTracker


def test_a_round_is_the_formula() -> None:
    tracker = DifficultyTracker(decay=0.5, prior=(2, 1))
    tracker.saw("q", 3, 4)
    assert tracker.posterior("q") == (0.5 * 2 + 0.5 * 2 + 3, 0.5 * 1 + 0.5 * 1 + 1)
    tracker.saw("q", 0, 1)  # a round of one is like any other
    assert tracker.posterior("q") == (0.5 * 5 + 1, 0.5 * 2 + 0.5 + 1)
    assert tracker.mean("q") == 3.5 / 6
    assert tracker.mean("unknown") == 2 / 3


@given(st.lists(st.integers(0, 8), max_size=12), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_without_decay_it_is_the_exact_posterior_and_with_it_never_more_sure(rounds, decay) -> None:
    exact, tracker = DifficultyTracker(), DifficultyTracker(decay)
    for right in rounds:
        exact.saw("q", right, 8)
        tracker.saw("q", right, 8)
    assert exact.posterior("q") == (1 + sum(rounds), 1 + sum(8 - right for right in rounds))
    assert sum(tracker.posterior("q")) <= sum(exact.posterior("q")) + 1e-9
    assert min(tracker.posterior("q")) >= 1 - 1e-9


def test_a_rate_that_stays_is_found_and_one_that_moves_is_followed_with_decay() -> None:
    rng = random.Random(1)
    trackers = {decay: DifficultyTracker(decay) for decay in (1.0, 0.5)}

    def rounds(p: float, n: int) -> None:
        for _ in range(n):
            right = sum(rng.random() < p for _ in range(16))
            for tracker in trackers.values():
                tracker.saw("q", right, 16)

    rounds(0.2, 60)
    assert trackers[1.0].mean("q") == pytest.approx(0.2, abs=0.03)
    rounds(0.9, 6)
    assert trackers[0.5].mean("q") > 0.8
    assert trackers[1.0].mean("q") < 0.4


def test_middling_questions_are_chosen() -> None:
    tracker = DifficultyTracker()
    for name, right in (("easy", 40), ("middling", 20), ("hard", 0)):
        tracker.saw(name, right, 40)
    names = ["easy", "middling", "hard"]
    assert tracker.choose(names, 1, seed=3) == ["middling"]
    assert tracker.choose(names, 1, seed=3, target=1.0) == ["easy"]
    assert tracker.choose(names, 2, seed=3, target=(0.3, 1.0)) == ["easy", "middling"]
    assert tracker.choose(names, 9, seed=5) == tracker.choose(names, 9, seed=5)
    # An unknown question is tried as often as its draw, which is uniform, is nearer.
    firsts = [tracker.choose([*names, "new"], 1, seed=s)[0] for s in range(200)]
    assert 10 < firsts.count("new") < 60
    assert firsts.count("new") + firsts.count("middling") == 200


def test_it_is_kept_as_plain_data() -> None:
    tracker = DifficultyTracker(0.9, (1, 2))
    tracker.saw("q", 1, 3)
    again = DifficultyTracker.of_data(json.loads(json.dumps(tracker.data())))
    assert again.posterior("q") == tracker.posterior("q")
    assert (again.decay, again.prior) == (0.9, (1, 2))


def test_what_can_not_be() -> None:
    with pytest.raises(UsageError, match="decay=2"):
        DifficultyTracker(2)
    with pytest.raises(UsageError, match="right=4"):
        DifficultyTracker().saw("q", 4, 3)
