"""Random cancellations: a few hundred of them; benchmarks/cancellations.py runs thousands."""

from __future__ import annotations

import pytest

from cancellations import KINDS, cancellations


@pytest.mark.parametrize("seed", [0, 10_000])
def test_what_is_billed_is_what_engines_did_and_nothing_is_left(seed: int) -> None:
    tally = cancellations(100, seed, size=50)
    assert tally.faults == []
    assert tally.cancelled > 30
    assert tally.again > 5
    assert tally.thrown_away > 0
    assert {kind for kind, count in tally.kinds.items() if count > 2} == set(KINDS)
