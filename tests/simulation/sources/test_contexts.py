"""Runs of tokens and the chained hashes of their blocks, against plain lists of tokens."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.simulation.sources.contexts import (
    Fresh,
    HashChain,
    Run,
    Scale,
    common,
    joined,
    length,
    part,
    space,
)
from weft.simulation.sources.planned_calls import PlannedCalls

runs = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=8)
scales = st.sampled_from([0.1, 0.25, 0.3, 1.0, 1.5, 4.0])


def tokens(context: list[Run]) -> list[int]:
    return [first + i for first, count in context for i in range(count)]


def agreed(one: list[int], other: list[int]) -> int:
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same


@given(runs)
def test_joining_keeps_the_tokens(context: list[Run]) -> None:
    made = joined(context)
    assert tokens(made) == tokens(context)
    assert all(a[0] + a[1] != b[0] for a, b in pairwise(made))


@given(runs, st.integers(0, 40), st.integers(0, 40))
def test_a_part_is_a_slice(context: list[Run], begin: int, end: int) -> None:
    assert tokens(part(context, begin, end)) == tokens(context)[begin:end]
    assert length(context) == len(tokens(context))


@given(runs, runs)
def test_the_common_beginning_is_counted_in_tokens(one: list[Run], other: list[Run]) -> None:
    assert common(joined(one), joined(other)) == agreed(tokens(one), tokens(other))


@given(st.lists(runs, min_size=2, max_size=5), st.integers(1, 5), scales)
def test_blocks_are_equal_just_if_all_tokens_before_their_end_are(
    contexts: list[list[Run]], block_size: int, factor: float
) -> None:
    scale = Scale(factor, block_size)
    chain = HashChain(scale)
    held: list[tuple[list[int], list[int]]] = []
    for context in contexts:
        count = scale.whole(length(context))
        blocks = list(chain.blocks(context, count))
        assert blocks == HashChain(scale).blocks(context, count), (
            "what was hashed before is no matter"
        )
        assert len(set(blocks)) == len(blocks)
        held.append((tokens(context), blocks))
    for text, blocks in held:
        for other, others in held:
            for k, (a, b) in enumerate(zip(blocks, others, strict=False)):
                end = scale.reach(k + 1)
                assert (a == b) == (text[:end] == other[:end])
            assert not set(blocks[len(others) :]) & set(others)


@given(st.integers(1, 40), st.integers(0, 2000), scales)
def test_scaled_lengths_are_exact(block_size: int, recorded: int, factor: float) -> None:
    scale = Scale(factor, block_size)
    step = Fraction(block_size) / Fraction(str(factor))
    blocks = scale.whole(recorded)
    assert blocks * step <= recorded < (blocks + 1) * step
    assert scale.reach(blocks) - 1 < blocks * step <= scale.reach(blocks) <= recorded
    assert abs(scale.tokens(recorded) - max(1, recorded * Fraction(str(factor)))) <= 0.5


def test_too_short_a_context_is_refused() -> None:
    with pytest.raises(ValueError, match="4 blocks need more than 6 tokens"):
        HashChain(Scale(1.0, 2)).blocks([(0, 6)], 4)


def test_fresh_tokens_are_new_and_depend_on_the_name_alone() -> None:
    fresh = Fresh("a")
    one, other = fresh(3), fresh(4)
    assert not set(tokens([one])) & set(tokens([other]))
    assert Fresh("a")(3) == one
    assert Fresh("b")(3) != one
    assert space("a") == one[0]


@given(st.integers(1, 300), st.integers(0, 80), st.integers(1, 20), scales)
def test_a_turn_has_a_block_for_every_whole_block_played(
    prompt: int, answer: int, block_size: int, factor: float
) -> None:
    scale, fresh = Scale(factor, block_size), Fresh("a")
    context = [fresh(prompt), fresh(answer)]
    planned = PlannedCalls(scale, fresh).make(
        context, prompt, answer, wait=2.0, tool="t", stage="s"
    )
    assert (planned.prompt, planned.answer) == (scale.tokens(prompt), scale.tokens(answer))
    assert len(planned.blocks) == (planned.prompt + planned.answer) // block_size
    assert (planned.wait, planned.tool, planned.stage) == (2.0, "t", "s")
