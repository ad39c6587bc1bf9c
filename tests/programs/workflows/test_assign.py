"""Which model does which operator: against all assignments that there are."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.programs.workflows import Assignment, OperatorCost, assign

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


@st.composite
def problems(draw: st.DrawFn):
    count = draw(st.integers(1, 5))
    needs = {f"o{i}": [f"o{j}" for j in range(i) if draw(st.booleans())] for i in range(count)}
    number = st.integers(0, 6)
    offers = {
        name: {
            f"m{k}": OperatorCost(draw(number), draw(number))
            for k in range(draw(st.integers(1, 3)))
        }
        for name in needs
    }
    limit = st.none() | st.integers(0, 20)
    return needs, offers, draw(limit), draw(limit)


def everything(needs, offers, deadline, dollars) -> tuple[float, float] | None:
    """The best seconds and dollars, by trying all."""
    found = []
    for models in itertools.product(*(list(own) for own in offers.values())):
        ends: dict[str, float] = {}
        for name, one in zip(needs, models, strict=True):
            start = max((ends[n] for n in needs[name]), default=0)
            ends[name] = start + offers[name][one].seconds
        cost = sum(offers[n][m].dollars for n, m in zip(needs, models, strict=True))
        seconds = max(ends.values())
        if (deadline is None or seconds <= deadline) and (dollars is None or cost <= dollars):
            found.append((seconds, cost))
    by_time = deadline is None and dollars is not None
    return min(found, key=lambda f: f if by_time else f[::-1], default=None)


@given(problems())
def test_it_is_the_best_of_all(problem):
    needs, offers, deadline, dollars = problem
    best = everything(*problem)
    if best is None:
        with pytest.raises(UsageError):
            assign(needs, offers, deadline=deadline, dollars=dollars)
        return
    found = assign(needs, offers, deadline=deadline, dollars=dollars)
    assert (found.seconds, found.dollars) == best
    assert found.exact
    greedy = None
    try:
        greedy = assign(needs, offers, deadline=deadline, dollars=dollars, most=0)
    except UsageError:
        assert deadline is not None
        assert dollars is not None
    if greedy is not None:
        assert greedy.seconds <= (deadline or 99)
        assert greedy.dollars <= (dollars or 99)
        assert not greedy.exact


def test_a_deadline_makes_the_critical_path_quick_and_leaves_the_rest_cheap():
    offers = {
        "a": {"small": (2, 1), "big": (1, 5)},
        "b": {"small": (6, 1), "big": (2, 4)},
        "c": {"small": (3, 1), "big": (1, 4)},
        "d": {"small": (2, 1), "big": (1, 5)},
    }
    found = assign(DIAMOND, offers, deadline=7)
    assert found == Assignment({"a": "small", "b": "big", "c": "small", "d": "small"}, 7, 7, True)
    assert assign(DIAMOND, offers).dollars == 4
    assert assign(DIAMOND, offers, dollars=7).seconds == 7
    rare = assign(DIAMOND, offers, dollars=8, chances={"b": 0.25})
    assert rare.models["b"] == "big"
    assert rare.dollars <= 8


def test_large_graphs_are_assigned_greedily_within_their_limits():
    needs = {f"o{i}": [f"o{i - 1}"] if i else [] for i in range(220)}
    offers = {name: {"small": (2.0, 1.0), "big": (1.0, 3.0)} for name in needs}
    found = assign(needs, offers, deadline=330)
    assert (found.seconds, found.dollars, found.exact) == (330, 440, False)


def test_mistakes_are_told():
    offers = {name: {"small": (2, 1)} for name in DIAMOND}
    for change, what in (
        ({"deadline": 5}, "deadline=5 can't be kept: the best assignment takes 6"),
        ({"dollars": 3}, "dollars=3 can't be kept: the best assignment costs 4"),
        ({"deadline": float("nan")}, "can't be kept"),
        ({"chances": {"x": 1}}, "no operator"),
        ({"chances": {"a": -1}}, "at least 0"),
    ):
        with pytest.raises(UsageError, match=what):
            assign(DIAMOND, offers, **change)  # pyright: ignore
    with pytest.raises(UsageError, match="a has no offers"):
        assign(DIAMOND, offers | {"a": {}})
    with pytest.raises(UsageError, match="in a circle"):
        assign({"a": ["b"], "b": ["a"]}, {"a": {"m": (1, 1)}, "b": {"m": (1, 1)}})
