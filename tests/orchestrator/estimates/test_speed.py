import json
import math
import random
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import UsageError
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.estimates.speed import Speed


@dataclass
class Asked:
    prompt_tokens: int = 1000
    cached: int = 0


def prefill(speed: Speed, count: int, seed: int = 0, slower: float = 1.0, off: float = 0.0) -> None:
    """Prompts at 0.02 s + 8000 tokens/s, 5% noise; a share `off` takes 2 to 20 times longer."""
    chance = random.Random(seed)
    for _ in range(count):
        tokens = int(chance.lognormvariate(6.5, 1.0)) + 1
        seconds = slower * (0.02 + tokens / 8000) * max(chance.gauss(1, 0.05), 0.5)
        if chance.random() < off:
            seconds *= chance.uniform(2, 20)
        speed.learn_prefill(tokens, seconds)


@pytest.mark.parametrize("off", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_a_prefill_rate_is_found_under_noise_and_outliers(seed: int, off: float) -> None:
    speed = Speed()
    prefill(speed, 200, seed, off=off)
    for tokens in (300, 1000, 5000):
        assert speed.prefill_seconds(tokens) == pytest.approx(0.02 + tokens / 8000, rel=0.06)


@pytest.mark.parametrize("seed", range(4))
def test_a_decode_rate_is_found_under_noise_and_outliers(seed: int) -> None:
    speed, chance = Speed(), random.Random(seed)
    for _ in range(200):
        batch, tokens = chance.randint(1, 64), chance.randint(20, 500)
        seconds = tokens * (0.01 + 0.0002 * batch) * chance.gauss(1, 0.05)
        if chance.random() < 0.15:
            seconds *= chance.uniform(2, 20)
        speed.learn_decode(tokens, seconds, batch)
    for batch in (1, 16, 64):
        assert speed.decode_seconds(batch) == pytest.approx(0.01 + 0.0002 * batch, rel=0.06)


def test_what_is_exact_is_found_exactly() -> None:
    speed = Speed()
    for tokens in (100, 700, 1500, 300):
        speed.learn_prefill(tokens, 0.1 + tokens / 1000)
        speed.learn_decode(50, 50 * (0.01 + 0.001 * tokens / 100), tokens // 100)
    assert speed.prefill_seconds(2000) == pytest.approx(2.1, rel=0.01)
    assert speed.decode_seconds(20) == pytest.approx(0.03, rel=0.01)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decode", [0.0002, 0.002, 0.02])
def test_both_rates_are_found_from_whole_answers(seed: int, decode: float) -> None:
    speed, chance = Speed(), random.Random(seed)
    for _ in range(400):
        computed, tokens = int(chance.lognormvariate(6, 1.5)), int(chance.lognormvariate(4, 1.5))
        seconds = computed / 8000 + max(0, tokens - 1) * decode
        speed.learn_whole(computed, tokens, seconds * max(chance.gauss(1, 0.05), 0.5))
    assert speed.prefill_seconds(4000) == pytest.approx(0.5, rel=0.35)
    assert speed.decode_seconds(1) == pytest.approx(decode, rel=0.35)


def test_an_answer_that_was_held_back_does_not_make_tokens_free() -> None:
    """Servers hold a tool call back until it is whole: all of its tokens come at once."""
    replica = Replica(ScriptedEngine("x", model="m"))
    for _ in range(3):
        replica.learn(cast(Ticket, Asked()), 0, tokens=101, first=2.0, rest=0.001)
    assert replica.decode_seconds(1) > 0.005


def test_of_an_empty_answer_nothing_is_learned() -> None:
    speed = Speed()
    for _ in range(5):
        speed.learn_whole(0, 0, 1.0)
    assert speed.prefill_seconds(100) == speed.decode_seconds(1) == 0


def test_nothing_is_claimed_before_three_observations() -> None:
    speed = Speed()
    for seen in range(3):
        assert speed.prefill_seconds(1000) == 0, seen
        assert speed.decode_seconds(4) == 0, seen
        speed.learn_prefill(1000, 0.5)
        speed.learn_decode(10, 0.2, 4)
    assert speed.prefill_seconds(1000) == pytest.approx(0.5)
    assert speed.decode_seconds(4) == pytest.approx(0.02)


def test_with_prompts_of_one_length_time_is_proportional_and_with_one_batch_level() -> None:
    speed = Speed()
    for _ in range(40):
        speed.learn_prefill(1000, 0.5)
        speed.learn_decode(10, 0.2, 4)
    assert speed.prefill_seconds(4000) == pytest.approx(2, rel=0.001)
    assert speed.prefill_seconds(0) == 0
    assert speed.decode_seconds(64) == pytest.approx(0.02, rel=0.001)


def test_the_first_call_may_be_a_slow_one() -> None:
    speed = Speed()
    for tokens, seconds in ((1000, 30.0), (500, 0.1), (2000, 0.4)):  # the first compiles
        speed.learn_prefill(tokens, seconds)
    assert speed.prefill_seconds(1000) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("factor", [0.5, 2.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_an_engine_that_changed_is_noticed(factor: float, seed: int) -> None:
    speed = Speed()
    prefill(speed, 150, seed)
    prefill(speed, 32, seed + 100, slower=factor)
    assert speed.prefill_seconds(1000) == pytest.approx(factor * (0.02 + 1 / 8), rel=0.08)


def test_a_few_slow_ones_are_not_taken_for_a_change() -> None:
    speed = Speed()
    prefill(speed, 100)
    prefill(speed, 10, slower=5.0)
    assert speed.prefill_seconds(1000) == pytest.approx(0.145, rel=0.06)


def test_calls_that_ran_alone_say_more() -> None:
    speed, chance = Speed(), random.Random(2)
    for _ in range(200):
        batch = chance.choice((1, 40))
        tokens = chance.randint(100, 4000)
        speed.learn_prefill(
            tokens, tokens / 8000 * (1 if batch == 1 else chance.uniform(1, 3)), batch
        )
    assert speed.prefill_seconds(2000) == pytest.approx(0.25, rel=0.03)


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 10**7), st.one_of(st.floats(0, 1e12), st.just(0.0)), st.integers(0, 999)
        ),
        max_size=100,
    )
)
def test_estimates_are_finite_never_negative_and_never_fall(
    seen: list[tuple[int, float, int]],
) -> None:
    speed = Speed()
    for tokens, seconds, batch in seen:
        speed.learn_prefill(tokens, seconds, batch)
        speed.learn_decode(tokens, seconds, batch)
    prefills = [speed.prefill_seconds(tokens) for tokens in (0, 1, 10, 1000, 10**6)]
    decodes = [speed.decode_seconds(batch) for batch in (0, 1, 2, 64, 1000)]
    for found in (prefills, decodes):
        assert all(0 <= value < math.inf for value in found)
        assert found == sorted(found)


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_what_is_no_duration_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="learned from seconds from 0 on"):
        Speed().learn_prefill(10, seconds)


@pytest.mark.parametrize("off", [0.0, 0.3])
@pytest.mark.parametrize("count", [0, 2, 3, 16, 17, 100])
def test_what_is_kept_is_the_same_speed_again(count: int, off: float) -> None:
    speed, chance = Speed(), random.Random(count)
    prefill(speed, count, off=off)
    for _ in range(count):
        batch = chance.randint(1, 64)
        speed.learn_decode(100, (0.01 + 0.0002 * batch) * chance.uniform(95, 105), batch)
    kept = json.loads(json.dumps(speed.dump()))
    assert all(len(line) <= 16 for line in kept)
    again = Speed.load(kept)
    for tokens in (300, 1000, 5000):
        assert again.prefill_seconds(tokens) == pytest.approx(speed.prefill_seconds(tokens), 0.01)
    for batch in (1, 16, 64):
        assert again.decode_seconds(batch) == pytest.approx(speed.decode_seconds(batch), 0.01)
    prefill(again, 200, slower=3)  # and what is new is learned as before
    assert again.prefill_seconds(1000) == pytest.approx(3 * (0.02 + 1000 / 8000), rel=0.06)


@pytest.mark.parametrize(
    "kept",
    [None, {}, [], [[]], [[], [], []], [[[1, 2]], []], [[[0, 1, 1]], []], [[["a", 1, 1]], []]],
)
def test_what_is_no_speed_is_refused(kept: object) -> None:
    with pytest.raises(UsageError):
        Speed.load(kept)
