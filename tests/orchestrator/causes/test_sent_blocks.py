"""What is remembered of blocks that were sent."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from weft.orchestrator.causes.sent import SentBlocks

chains = st.lists(st.integers(0, 2), max_size=8)


def hashes(chain: list[int]) -> list[int]:
    """Chained: each stands for all up to it."""
    return [hash((*chain[: end + 1],)) for end in range(len(chain))]


@given(st.lists(chains, max_size=20), chains)
def test_the_longest_beginning_is_found_and_who_had_it_last(
    sent: list[list[int]], asked: list[int]
) -> None:
    blocks = SentBlocks(10_000)
    for number, chain in enumerate(sent):
        call: Any = f"call {number}"
        blocks.note(hashes(chain), call)
    shared = [
        next((i for i, (a, b) in enumerate(zip(one, asked, strict=False)) if a != b), None)
        for one in sent
    ]
    lengths = [
        min(len(one), len(asked)) if at is None else at
        for one, at in zip(sent, shared, strict=True)
    ]
    longest = max(lengths, default=0)
    assert blocks.match(hashes(asked)) == longest
    for block, of in enumerate(hashes(asked)):
        last = [i for i, length in enumerate(lengths) if length > block]
        assert blocks.owner(of) == (f"call {last[-1]}" if last else None)


def test_no_more_is_remembered_than_may_be_and_the_latest_half_of_it() -> None:
    blocks = SentBlocks(20)
    for number in range(100):
        call: Any = number
        blocks.note([number * 10, number * 10 + 1], call)
    known = [n for n in range(100) if blocks.match([n * 10, n * 10 + 1]) == 2]
    assert known == list(range(known[0], 100))
    assert 10 <= 2 * len(known) <= 24
