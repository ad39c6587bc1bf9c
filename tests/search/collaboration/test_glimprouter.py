"""GlimpRouter: the entropy of a small model's first token says who writes a step."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.engine import OnDelta
from weft.errors import RequestRejected, Unsupported
from weft.orchestrator.pool import Pool
from weft.programs import run
from weft.search import GlimpRouter
from weft.search.collaboration.glimpse import entropy, likeliest
from weft.types import Delta, Request, TokenLogprob

WAYS = [1, 2, 4, 3]
"""Between how many tokens the small model wavers at the beginning of each step."""


def wavering(request: Request, written: str) -> int:
    """Within a step it does not, or no more than a glimpse can see."""
    return WAYS[written.count("\n")] if written[-1:] in ("", "\n") else 20


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=60), st.integers(1, 20))
def test_the_entropy_of_what_is_told_is_a_bound(weights: list[float], told: int) -> None:
    shares = sorted((w / math.fsum(weights) for w in weights), reverse=True)
    true = -math.fsum(p * math.log(p) for p in shares)
    top = {str(i): math.log(p) for i, p in enumerate(shares[:told])}
    found = entropy(TokenLogprob("0", top["0"], top))
    rest = math.fsum(shares[told:])
    most = rest * math.log(max(1, len(shares) - told))
    assert found - 1e-9 <= true <= found + most + 1e-9
    assert likeliest(TokenLogprob("0", top["0"], top)) == pytest.approx(shares[0])


@pytest.mark.parametrize(
    ("tau", "text"),
    [
        (1e9, "s0\ns1\ns2\nanswer s"),
        (math.log(4) + 1e-6, "s0\ns1\ns2\nanswer s"),
        (1.2, "s0\ns1\nL2\nanswer s"),
        (1.0, "s0\ns1\nL2\nanswer L"),
        (math.log(2) - 1e-6, "s0\nL1\nL2\nanswer L"),
        (-1, "L0\nL1\nL2\nanswer L"),
    ],
)
async def test_the_threshold_says_who_writes(
    tau: float, text: str, pair, stepping, question
) -> None:
    both = pair(stepping("s"), stepping("L"), small_ways=wavering)
    done = await both.answer(GlimpRouter(tau=tau), question)
    answer, handed = done.value, text.count("L")
    assert (answer.text, answer.value) == (text, text[-1])
    assert answer.details["handed_over"] == handed == len(both.large.wrote)
    assert answer.details["steps"] == 4
    # Of a step that is handed over the small model wrote one token, which counts as cancelled.
    assert [len(wrote) == 1 for wrote in both.small.wrote] == [
        line[-1] == "L" or line[0] == "L" for line in text.splitlines()
    ]
    assert done.usage.cancelled == handed
    assert answer.details["draft_tokens"] == sum(map(len, both.small.wrote)) + (text[-1] == "s")


async def test_where_one_model_fails_the_other_answers(pair, stepping, question) -> None:
    def refuses(request: Request) -> str:
        raise RequestRejected("not today")

    for small, large, text in (
        (refuses, stepping("L"), "L0\nL1\nL2\nanswer L"),
        (stepping("s"), refuses, "s0\ns1\ns2\nanswer s"),
    ):
        both = pair(small, large, small_ways=wavering)
        answer = (await both.answer(GlimpRouter(), question)).value
        assert answer.text == text
        assert answer.details["failed"] > 0
    with pytest.raises(RequestRejected, match="not today"):
        await pair(refuses, refuses).answer(GlimpRouter(), question)


async def test_an_engine_without_log_probabilities_is_told(pair, stepping, question) -> None:
    class Silent(type(pair("", "").small)):
        """Reports none."""

        async def complete(self, request: Request, on_delta: OnDelta) -> None:
            def tell(delta: Delta) -> None:
                on_delta(replace(delta, logprobs=(), missing=("logprobs",)))

            await super().complete(request, tell)

    async with Pool(Silent(stepping("s"), model="m")) as pool:
        with pytest.raises(Unsupported, match="reports no log-probabilities, which glimprouter"):
            await run(GlimpRouter(), question, pool=pool)


async def test_a_small_model_that_is_sure_of_the_end_ends(pair, question) -> None:
    both = pair("answer 1", "answer 2")
    assert (await both.answer(GlimpRouter(), question)).value.value == "1"
