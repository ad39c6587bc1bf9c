from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.service.config.api_key import hash_key, new_key
from weft.service.config.file import ServiceConfig
from weft.service.config.tenant_settings import TenantConfig
from weft.service.config.values import LONGEST_SALT
from weft.service.door.tenants import Bucket, Refusal, Tenant, Tenants
from work import steps

HASH, OTHER = hash_key(new_key()), hash_key(new_key())
TICK = Fraction(1, 16)
NEAR = 1e-6


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tenant(clock: Clock, **limits: Any) -> Tenant:
    return Tenant(TenantConfig(name="red", keys=[HASH], **limits), clock=clock)


class Exact:
    """A bucket in exact numbers, filled tick by tick."""

    def __init__(self, per_minute: int) -> None:
        self.size = self.held = Fraction(per_minute)

    def tick(self) -> None:
        self.held = min(self.size, self.held + self.size / 60 * TICK)

    def missing(self, amount: int) -> Fraction:
        return max(Fraction(0), (min(Fraction(amount), self.size) - self.held) * 60 / self.size)


waits = st.tuples(st.just("wait"), st.integers(1, 400), st.just(0))
enters = st.tuples(st.just("enter"), st.integers(0, 1500), st.just(0))
leaves = st.tuples(st.just("leave"), st.integers(0, 5), st.integers(0, 2500))


@given(
    requests=st.integers(1, 30),
    tokens=st.integers(1, 1000),
    most=st.integers(1, 6),
    steps=st.lists(st.one_of(waits, enters, leaves), max_size=60),
)
def test_like_a_bucket_filled_tick_by_tick(
    requests: int, tokens: int, most: int, steps: list[tuple[str, int, int]]
) -> None:
    clock = Clock()
    one = tenant(clock, requests_per_minute=requests, tokens_per_minute=tokens, concurrency=most)
    by_request, by_token = Exact(requests), Exact(tokens)
    entered: list[int] = []
    for step, a, b in steps:
        if step == "wait":
            for _ in range(a):
                by_request.tick()
                by_token.tick()
            clock.now += float(a * TICK)
        elif step == "leave" and entered:
            expected = entered.pop(a % len(entered))
            one.leave(expected, b)
            by_token.held = min(by_token.size, by_token.held + expected - b)
        elif step == "enter":
            refusal = one.enter(a)
            wait_request, wait_token = by_request.missing(1), by_token.missing(a)
            if len(entered) == most:
                assert refusal is not None
                assert refusal.limit == "concurrency"
            elif wait_request > NEAR or (refusal and refusal.limit == "requests_per_minute"):
                assert refusal is not None
                assert refusal.limit == "requests_per_minute"
                assert refusal.seconds == pytest.approx(float(wait_request), abs=NEAR)
            elif wait_token > NEAR or refusal is not None:
                assert refusal is not None
                assert refusal.limit == "tokens_per_minute"
                assert refusal.seconds == pytest.approx(float(wait_token), abs=NEAR)
            else:
                entered.append(a)
                by_request.held -= 1
                by_token.held -= a
        assert one.running == len(entered)


@given(
    per_minute=st.integers(1, 120),
    gaps=st.lists(st.floats(0, 30), min_size=1, max_size=80),
)
def test_no_window_lets_more_pass_than_its_bound(per_minute: int, gaps: list[float]) -> None:
    clock = Clock()
    one = tenant(clock, requests_per_minute=per_minute)
    passed: list[float] = []
    for gap in gaps:
        clock.now += gap
        while one.enter(1) is None:
            passed.append(clock.now)
    for i, begin in enumerate(passed):
        for j in range(i, len(passed)):
            bound = per_minute + (passed[j] - begin) * per_minute / 60
            assert j - i + 1 <= bound + NEAR


@given(
    per_minute=st.integers(1, 10_000),
    first=st.integers(1, 30_000),
    tokens=st.integers(1, 30_000),
)
def test_a_refusal_says_exactly_when(per_minute: int, first: int, tokens: int) -> None:
    clock = Clock()
    one = tenant(clock, tokens_per_minute=per_minute)
    assert one.enter(first) is None, "whatever its size, it begins when the bucket is full"
    refusal = one.enter(tokens)
    if refusal is None:
        assert first + tokens <= per_minute
        return
    assert int(refusal.retry_after) >= max(1, refusal.seconds)
    assert int(refusal.retry_after) < refusal.seconds + 1 or refusal.retry_after == "1"
    clock.now = refusal.seconds * (1 - 1e-6)
    assert one.enter(tokens) is not None
    clock.now = refusal.seconds * (1 + 1e-6)
    assert one.enter(tokens) is None


@given(
    per_minute=st.integers(100, 1000),
    guesses=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=10),
)
def test_what_was_settled_is_what_was_used(per_minute: int, guesses: list[tuple[int, int]]) -> None:
    """As if the real numbers had been known from the start."""
    clock = Clock()
    one = tenant(clock, tokens_per_minute=per_minute)
    known = Bucket(per_minute, 0.0)
    for expected, used in guesses:
        clock.now += 60.0  # full again: a wrong guess in one round can't spoil the next
        assert one.enter(expected) is None
        one.leave(expected, used)
        assert one.enter(0) is None
        known.missing(0, clock.now)
        known.take(used, clock.now)
        refusal = one.enter(per_minute)
        wait = known.missing(per_minute, clock.now)
        if used == 0:
            assert refusal is None
            one.leave(per_minute, 0)
        else:
            assert refusal is not None
            assert refusal.seconds == pytest.approx(wait)
        one.leave(0, 0)


def test_no_limits() -> None:
    everybody = Tenants(ServiceConfig()).anonymous
    assert [everybody.enter(10**9) for _ in range(1000)] == [None] * 1000
    assert everybody.running == 1000
    assert everybody.begin_program() is None
    assert (everybody.name, everybody.salt) == ("", "")


def test_concurrency_and_programs() -> None:
    one = tenant(Clock(), concurrency=2, programs=1)
    assert one.enter(5) is None
    assert one.enter(5) is None
    assert one.enter(5) == Refusal(
        "2 requests of tenant red run already, which is its limit; wait for one of them to end",
        1.0,
        "concurrency",
    )
    one.leave(5, 5)
    assert one.enter(5) is None
    assert one.begin_program() is None
    refusal = one.begin_program()
    assert refusal is not None
    assert refusal.limit == "programs"
    one.end_program()
    assert one.begin_program() is None


def test_a_refused_request_takes_nothing() -> None:
    clock = Clock()
    one = tenant(clock, requests_per_minute=2, tokens_per_minute=100)
    assert one.enter(100) is None
    for _ in range(50):
        refusal = one.enter(100)
        assert refusal is not None
        assert refusal.limit == "tokens_per_minute"
    clock.now = 60.0
    assert one.enter(1) is None
    assert one.enter(1) is None, "the refused ones left the requests untouched"
    refusal = one.enter(1)
    assert refusal is not None
    assert refusal.message == (
        "tenant red may take 2 requests a minute and has used them up; try again in 30 s"
    )


def configured(*tenants: dict[str, Any], **fields: Any) -> ServiceConfig:
    return ServiceConfig.model_validate({"tenants": list(tenants), **fields})


def test_a_reload_keeps_what_was_taken() -> None:
    clock = Clock()
    red: dict[str, Any] = {"name": "red", "keys": [HASH], "requests_per_minute": 4}
    blue: dict[str, Any] = {"name": "blue", "keys": [OTHER]}
    tenants = Tenants(configured(red, blue), clock)
    one = tenants["red"]
    for _ in range(3):
        assert one.enter(0) is None
    tenants.reload(configured({**red, "concurrency": 3, "weight": 5}))
    assert [t.name for t in tenants] == ["red"]
    assert len(tenants) == 1
    with pytest.raises(KeyError):
        tenants["blue"]
    assert tenants["red"] is one
    assert (one.running, one.weight) == (3, 5.0)
    refusal = one.enter(0)
    assert refusal is not None
    assert refusal.limit == "concurrency"
    one.leave(0, 0)
    assert one.enter(0) is None
    one.leave(0, 0)
    refusal = one.enter(0)
    assert refusal is not None
    assert (refusal.limit, refusal.seconds) == ("requests_per_minute", 15.0)

    tenants.reload(configured({**red, "requests_per_minute": 60}))
    refusal = one.enter(0)
    assert refusal is not None
    assert refusal.seconds == 1.0, "more come now, but none is given for what was used"
    tenants.reload(configured({"name": "red", "keys": [HASH]}))
    assert one.enter(0) is None


@given(
    first=st.integers(1, 100),
    then=st.integers(1, 100),
    taken=st.integers(0, 150),
    wait=st.floats(0, 100),
)
def test_resizing_makes_nothing_of_nothing(first: int, then: int, taken: int, wait: float) -> None:
    bucket = Bucket(first, 0.0)
    bucket.take(taken, 0.0)
    bucket.resize(then, wait)
    held = min(then, min(first, first - taken + wait * first / 60))
    assert bucket.missing(then, wait) == pytest.approx((then - held) * 60 / then, abs=NEAR)


def test_a_clock_that_stands_still_or_goes_back() -> None:
    bucket = Bucket(60, 100.0)
    bucket.take(60, 100.0)
    assert bucket.missing(1, 100.0) == 1.0
    assert bucket.missing(1, 50.0) == 1.0
    assert bucket.missing(1, 100.5) == 0.5


def salts(*tenants: dict[str, Any], **fields: Any) -> list[str]:
    return [t.salt for t in Tenants(configured(*tenants, **fields))]


def test_salts_keep_tenants_apart() -> None:
    red: dict[str, Any] = {"name": "red", "keys": [HASH]}
    blue: dict[str, Any] = {"name": "blue", "keys": [OTHER]}
    found = salts(red, blue)
    assert len(set(found)) == 2
    assert all(40 < len(salt) <= LONGEST_SALT for salt in found)
    assert salts(red, blue) == found, "the same after a restart"
    assert HASH not in found[0]
    assert "red" not in found[0]
    assert salts({**red, "keys": [OTHER]}, {**blue, "keys": [HASH]}) != found
    assert salts({**red, "cache_salt": False}, {**blue, "cache_salt": "ours"}) == ["", "ours"]

    secret = {"secret": "a secret of the service"}
    kept = salts(red, blue, **secret)
    assert len({*found, *kept}) == 4
    assert salts({**red, "keys": [OTHER]}, **secret) == kept[:1], "whatever its keys"
    assert salts(red, secret="another secret of it") != kept[:1]


def test_entering_and_leaving_is_cheap() -> None:
    one = Tenant(
        TenantConfig(
            name="red",
            keys=[HASH],
            requests_per_minute=10**9,
            tokens_per_minute=10**12,
            concurrency=10,
        )
    )

    def enter_and_leave() -> None:
        one.enter(1000)
        one.leave(1000, 900)

    first = steps(enter_and_leave)
    for _ in range(2000):
        enter_and_leave()
    assert one.running == 0
    assert max(first, steps(enter_and_leave)) <= 100
