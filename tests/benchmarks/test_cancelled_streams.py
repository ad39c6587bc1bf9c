"""Random cancellations over HTTP: a few; benchmarks/cancelled_streams.py runs a thousand."""

from __future__ import annotations

from cancelled_streams import cancelled_streams


def test_what_is_billed_is_what_was_streamed_and_no_connection_is_left() -> None:
    tally = cancelled_streams(30, size=15)
    assert tally.faults == []
    assert tally.aborted > 5
    assert tally.under_way <= tally.aborted
    assert tally.generated > tally.thrown_away > 0
