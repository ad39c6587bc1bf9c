"""DeepConf: confidence of groups, votes by it, and traces that end below the floor."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.engine import OnDelta
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import Unsupported, UsageError
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import DeepConf, DeepConfOnline
from weft.search.early_exit.confidence import (
    MEASURES,
    Floor,
    Groups,
    confidence,
    floor_of,
    token_confidence,
)
from weft.types import Delta, Request, TokenLogprob

pytestmark = pytest.mark.loops("virtual")


def token(confidence: float) -> TokenLogprob:
    """A token of a given confidence, by two alternatives about it."""
    return TokenLogprob("t", -0.1, {"t": -0.5 * confidence, "u": -1.5 * confidence})


class Sure(ScriptedEngine):
    """As sure of a digit as the digit says, and 5 of anything else."""

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        def tell(delta: Delta) -> None:
            told = tuple(
                replace(one, top=token(float(one.token) if one.token.isdigit() else 5.0).top)
                for one in delta.logprobs
            )
            on_delta(replace(delta, logprobs=told))

        await super().complete(request, tell)


class Silent(ScriptedEngine):
    """Reports no log-probabilities."""

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        def tell(delta: Delta) -> None:
            on_delta(replace(delta, logprobs=(), missing=("logprobs",)))

        await super().complete(request, tell)


LEVELS = st.lists(st.floats(0, 50), min_size=1, max_size=60)


@given(LEVELS, st.integers(1, 70))
def test_a_windows_mean_is_as_if_recomputed(levels: list[float], window: int) -> None:
    groups, given_out = Groups(window), []
    for i, level in enumerate(levels):
        mean = groups.add(level)
        assert (mean is None) == (i + 1 < window)
        given_out += [] if mean is None else [mean]
    anew = [fmean(levels[i : i + window]) for i in range(len(levels) - window + 1)]
    assert given_out == pytest.approx(anew)
    assert list(groups.means) == pytest.approx(anew or [fmean(levels)])
    tokens = [token(level) for level in levels]
    means = sorted(groups.means)
    few = max(1, len(means) // 10)
    expected = {
        "lowest": means[0],
        "bottom": fmean(means[:few]),
        "mean": fmean(levels),
        "tail": fmean(levels[-window:]),
    }
    assert expected.keys() == set(MEASURES)
    for measure, value in expected.items():
        assert confidence(tokens, window, measure) == pytest.approx(value)


@given(LEVELS, st.integers(1, 20), st.floats(0, 50), st.integers(1, 5))
def test_a_trace_ends_at_its_first_group_below_the_floor(
    levels: list[float], window: int, least: float, size: int
) -> None:
    tokens = tuple(token(level) for level in levels)
    groups = Groups(window)
    means = [groups.add(token_confidence(one)) for one in tokens]
    below = [i + 1 for i, mean in enumerate(means) if mean is not None and mean < least]
    look, ended = Floor(window, least).begin(), None
    for at in range(0, len(tokens), size):
        if (more := look(Delta(logprobs=tokens[at : at + size]))) is not None:
            ended = at + more
            break
    assert ended == (below[0] if below else None)
    # Decided within a trace, or from all of it: the same.
    if len(tokens) >= window:
        assert bool(below) == (confidence(tokens, window) < least)


@given(st.lists(st.floats(0, 50), min_size=1, max_size=40, unique=True), st.floats(0.01, 1))
def test_the_floor_keeps_its_share(levels: list[float], keep: float) -> None:
    floor = floor_of(levels, keep)
    kept = sum(level >= floor for level in levels)
    assert abs(kept - keep * len(levels)) <= 1
    assert kept >= 1
    assert floor_of(levels, 1.0) == min(levels)


def test_the_floor_is_linear_between_two() -> None:
    assert floor_of([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert floor_of([4.0, 1.0, 3.0, 2.0], 0.9) == pytest.approx(1.3)
    assert floor_of([7.0], 0.1) == 7.0


def test_confidence_without_alternatives() -> None:
    assert confidence([], 4) == 0.0
    assert token_confidence(TokenLogprob("t", -1.0)) == 0.0
    assert token_confidence(TokenLogprob("t", 0.0, {"t": -2.0, "u": -math.inf})) == 2.0


async def test_offline_votes_have_the_weight_of_confidence(question, player, by_index) -> None:
    replies = by_index("99 answer a", "11 answer b", "11 answer b", "no idea 9")
    async with Pool(player(replies)):
        # An engine that tells of no alternatives: the plain vote.
        assert (await DeepConf(n=4)(question)).value == "b"
    async with Pool(Sure(replies)):
        answer = await DeepConf(n=4, keep=1, window=2)(question)
    assert answer.value == "a"
    assert answer.details["votes"] == {"a": 5.0, "b": 2.0}
    assert answer.score == pytest.approx(5 / 7)


@pytest.mark.parametrize(
    ("keep", "by", "winner"),
    [
        (1, "mean", "b"),
        (0.4, "mean", "a"),
        (1, "lowest", "a"),
        (1, "bottom", "a"),
        (1, "tail", "b"),
    ],
)
async def test_offline_measures_and_filter(
    keep: float, by: str, winner: str, question, by_index
) -> None:
    replies = by_index("99 answer a", "11 answer b", "11 answer b", "no idea 9")
    async with Pool(Sure(replies)):
        answer = await DeepConf(n=4, keep=keep, by=by, window=2)(question)
    assert answer.value == winner
    assert answer.details["samples"] == 4
    assert answer.details["unparsable"] == 1
    assert answer.details["below"] == {1: 0, 0.4: 2}[keep]


def online(**settings: Any) -> DeepConfOnline:
    return DeepConfOnline(**{"n": 8, "warmup": 4, "window": 2, "keep": 0.5} | settings)


WARM = ("88 answer a", "66 answer b", "44 answer c", "22 answer d")
"""Lowest groups of 5, 5, 4 and 2: half of them have 4.5 or more."""


async def test_online_gives_up_what_falls_below(question, by_index) -> None:
    later = ["33 answer e" + "." * 90, "77 answer b", "77 answer b", "answer 1e1" + "." * 90]
    engine = Sure(by_index(*WARM, *later), token_seconds=0.001)
    async with Pool(engine) as pool:
        done = await run(online(), question, pool=pool)
    answer = done.value
    assert (answer.value, answer.text) == ("b", "66 answer b")
    assert answer.details["floor"] == 4.5
    # Those below don't vote: two of the warm-up, and two later ones that were ended.
    assert answer.details["below"] == 4
    assert answer.details["votes"] == {"a": 5.0, "b": 15.0}
    assert answer.score == 0.75
    assert engine.cancelled == 2
    # They are paid for, up to where they ended: at "33", and at "1e".
    whole = sum(map(len, (*WARM, *later[1:3])))
    assert done.usage.completion == whole + 6 + len("33") + len("answer 1")
    assert done.usage.cancelled == 0


async def test_online_ends_when_most_agree(question, by_index) -> None:
    agreed = ["88 answer a"] * 4
    engine = Sure(by_index(*agreed, *WARM))
    async with Pool(engine):
        answer = await online()(question)
    assert (answer.value, answer.score) == ("a", 1.0)
    assert len(engine.requests) == 4  # the warm-up was enough

    engine = Sure(by_index(*WARM[:2], "55 answer b", "55 answer b", *["99 answer b"] * 4))
    async with Pool(engine):
        answer = await online(keep=1, consensus=0.8, parallel=1)(question)
    # 15 of 20, then 20 of 25: enough.
    assert (answer.value, answer.score) == ("b", 0.8)
    assert len(engine.requests) == 5


async def test_the_answer_depends_on_no_ones_pace(question, by_index) -> None:
    found = []
    for seconds in ((1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1)):
        texts = [
            "55 answer b",
            "55 answer b",
            "55 answer a",
            "55 answer b",
            "9 answer b",
            "9 answer a",
        ]
        paced = [Scripted(t, seconds=s) for t, s in zip(texts, seconds, strict=True)]
        async with Pool(Sure(by_index(*paced))):
            answer = await online(n=6, warmup=2, keep=1, consensus=0.74)(question)
        found.append((answer.value, answer.score, answer.details["votes"]))
    assert found[0] == found[1] == ("b", 1.0, {"b": 10.0})


async def test_online_at_the_end_of_any_budget(question, by_index) -> None:
    later = ["33 answer e" + "." * 20, "77 answer b", "77 answer b", "55 answer f"]
    for calls in range(1, 9):
        async with Pool(Sure(by_index(*WARM, *later))) as pool:
            done = await run(online(), question, pool=pool, budget=Limits(calls=calls))
        assert done.value.value is not None
        assert ("budget" in done.value.details) == (calls < 8)


async def test_what_was_given_up_is_the_last_resort(question, by_index) -> None:
    """Nothing else can be read: then it is what was generated of a trace that was ended."""
    engine = Sure(by_index(*["no idea"] * 4, *["answer x 11" + "." * 50] * 4))
    async with Pool(engine):
        answer = await online()(question)
    assert answer.value == "x"
    assert answer.details["broken_off"]


@pytest.mark.parametrize("strategy", [DeepConf(n=2), DeepConfOnline(n=2, warmup=1)])
async def test_without_logprobs_it_is_told(strategy, question, by_index) -> None:
    async with Pool(Silent(by_index("answer a", "answer b"))):
        with pytest.raises(Unsupported, match=f"no log-probabilities, which {strategy.name} needs"):
            await strategy(question)


def test_a_warm_up_of_more_than_all() -> None:
    with pytest.raises(UsageError, match="warmup=9 of deepconf_online must be at most n=8"):
        DeepConfOnline(n=8, warmup=9)
