import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.orchestrator.estimates.absorbing_chain import expected_sums


def test_a_line_adds_up() -> None:
    chain = {"a": {"b": 1.0}, "b": {"c": 0.5}, "c": {}}
    assert expected_sums(chain, {"a": (1, 10), "b": (2, 20), "c": (4, 40)}) == {
        "a": [5, 50],
        "b": [4, 40],
        "c": [4, 40],
    }


def test_a_loop_is_left_by_chance() -> None:
    # It comes again three times out of four: four visits in the mean.
    assert expected_sums({"a": {"a": 0.75}}, {"a": (1,)}) == {"a": [4]}


def test_two_that_lead_to_each_other() -> None:
    # x = 1 + y/2 and y = 1 + x/2, so both are 2.
    found = expected_sums({"x": {"y": 0.5}, "y": {"x": 0.5}}, {"x": (1,), "y": (1,)})
    assert found == {"x": [2], "y": [2]}


@given(st.integers(1, 7).flatmap(lambda n: st.lists(
    st.tuples(st.lists(st.integers(0, 5), min_size=n, max_size=n), st.floats(0, 9)),
    min_size=n, max_size=n,
)))  # fmt: skip
def test_what_is_found_solves_the_equations(rows: list[tuple[list[int], float]]) -> None:
    # One unit of weight in each row leads out.
    chain = {
        i: {j: w / (sum(weights) + 1) for j, w in enumerate(weights) if w}
        for i, (weights, _) in enumerate(rows)
    }
    gains = {i: (gain,) for i, (_, gain) in enumerate(rows)}
    found = expected_sums(chain, gains)
    for i, row in chain.items():
        wanted = gains[i][0] + math.fsum(p * found[j][0] for j, p in row.items())
        assert found[i][0] == pytest.approx(wanted, rel=1e-9, abs=1e-9)
