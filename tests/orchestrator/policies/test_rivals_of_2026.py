"""adaptive, cachewise and Dynamo's ThunderAgent, on views of plain data."""

import math

import pytest

from policy_view import Call, Engine, View, at
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.policy import parse_policy
from weft.orchestrator.programs.program import Program

# adaptive


def test_adaptive_admits_as_many_programs_as_the_window_allows() -> None:
    policy, engine = parse_policy("adaptive"), Engine(programs=3, in_flight=1)
    assert policy.admit(Call(), engine, View([engine])).enter  # it was never full
    for window, enters in ((3.0, False), (4.0, True)):
        engine.window = window
        admission = policy.admit(Call(), engine, View([engine]))
        assert (admission.enter, admission.displace) == (enters, None)
        assert admission.reason == f"3 of {window:g} programs live there"
    engine.window = 1.0
    assert policy.admit(Call(at(engine)), engine, View([engine])).enter  # it lives there


def test_an_engine_without_programs_admits_whatever_the_window_is() -> None:
    empty = Engine(window=0.0)
    assert parse_policy("adaptive").admit(Call(), empty, View([empty])).enter


# cachewise


def knowing(**tools: float) -> Profiles:
    """Profiles of an agent whose tools take so many seconds."""
    known = Profiles()
    for tool, seconds in tools.items():
        for _ in range(20):
            known.learn_tool("agent", tool, seconds)
    return known


def test_the_context_whose_tool_takes_longest_yields_first() -> None:
    policy, engine = parse_policy("cachewise"), Engine()
    view = View([engine], now=50.0, profiles=knowing(grep=1.0, tests=60.0))
    ranks = {
        tool: policy.retain(Program("p", "agent", tool=tool), engine, view)
        for tool in ("grep", "tests")
    }
    assert ranks["grep"].rank == pytest.approx(-51.0, rel=0.01)
    assert ranks["tests"].rank == pytest.approx(-110.0, rel=0.01)
    assert ranks["tests"].seconds == math.inf
    announced = Program("p", "agent", tool="tests", expects=2.0)
    assert policy.retain(announced, engine, view).rank > ranks["tests"].rank


def test_a_call_takes_room_only_from_contexts_that_are_needed_after_its_end() -> None:
    # The call takes 100 tokens x 0.1 s = 10 s, from 50 s on, and lacks 600 tokens.
    engine = Engine(in_flight=1, programs=2, reserved=5000, claims=4500, decode=0.1)
    view, policy = View([engine], now=50.0), parse_policy("cachewise")
    for needed, yields in ((59.0, False), (61.0, True)):
        weakest = engine.weakest = Program("w", claim=4500, rank=-needed, acting=0.0)
        admission = policy.admit(Call(), engine, view)
        assert not admission.enter
        assert admission.displace is (weakest if yields else None)
        # Whoever lives there, and an engine that runs nothing, do not wait for it.
        assert policy.admit(Call(at(engine, claim=1)), engine, view).displace is weakest
        idle = Engine(programs=1, claims=9500, decode=0.1)
        idle.weakest = weakest
        assert policy.admit(Call(), idle, view).displace is weakest
    assert policy.admit(Call(prompt_tokens=400), engine, view).enter  # it fits
    engine.weakest = None
    assert not policy.admit(Call(), engine, view).enter


def test_what_is_cached_decides_where_a_program_goes_on() -> None:
    home, branch, policy = Engine("home", held=300), Engine("branch", held=600), "cachewise"
    placement = parse_policy(policy).place(Call(at(home, claim=0)), View([home, branch]))
    assert (placement.engine.name, placement.firm) == ("branch", True)
    branch.held = 400  # less than half is cached anywhere: as a new program
    home.claims = 1
    placement = parse_policy(policy).place(Call(at(home, claim=0)), View([home, branch]))
    assert (placement.engine.name, placement.firm) == ("branch", False)


def test_calls_with_the_fewest_tokens_to_compute_go_first() -> None:
    policy, view = parse_policy("cachewise"), View([Engine(held=800)])
    assert policy.order(Call(), view).key == (1.0, 200.0)
    assert policy.order(Call(at(view.engines[0])), view).key == (0.0,)


# ThunderAgent as Dynamo runs it


def test_dynamo_gives_active_programs_95_and_others_85_percent() -> None:
    # 7000 tokens are taken, and 100 for each of two programs there and of this one.
    engine = Engine(in_flight=2, programs=2, reserved=5000, claims=2000)
    engine.weakest = Program("w", claim=1000, rank=1000.0, acting=49.5)
    policy, view = parse_policy("thunderagent(variant=dynamo)"), View([engine], now=50.0)
    assert policy.admit(Call(prompt_tokens=1100), engine, view).enter
    refused = policy.admit(Call(prompt_tokens=1101), engine, view)
    assert (refused.enter, refused.displace) == (False, None)
    engine.claims += 1000  # of a program that is active there, and comes with all it has
    active = at(engine, claim=1000)
    assert policy.admit(Call(active, prompt_tokens=2200), engine, view).enter
    assert policy.admit(Call(active, prompt_tokens=2201), engine, view).displace is engine.weakest


def test_dynamo_pauses_programs_with_a_tool_for_those_that_wait() -> None:
    engine = Engine(in_flight=1, programs=2, reserved=5000, claims=5000)
    away = engine.weakest = Program("away", claim=5000, rank=5000.0, acting=10.0)
    for variant, displaced in (("paper", None), ("dynamo", away)):
        policy = parse_policy(f"thunderagent(variant={variant})")
        assert policy.admit(Call(), engine, View([engine], now=10.5)).displace is None
        assert policy.admit(Call(), engine, View([engine], now=11.5)).displace is displaced


def test_dynamo_lets_no_program_with_a_tool_stop_an_engine() -> None:
    engine = Engine(programs=1, claims=9990)
    weakest = engine.weakest = Program("away", claim=9990, rank=1.0, acting=10.0)
    policy = parse_policy("thunderagent(variant=dynamo)")
    assert policy.admit(Call(), engine, View([engine], now=10.0)).displace is weakest


def test_dynamo_has_a_lease_of_30_minutes() -> None:
    kept = parse_policy("thunderagent(variant=dynamo)").retain(
        Program("p", context=9000), Engine(), View()
    )
    assert (kept.seconds, kept.rank) == (1800.0, 9000.0)
    # 9400 tokens and 100 for the program are all that active programs may have.
    full = parse_policy("thunderagent(variant=dynamo)").retain(
        Program("p", context=9401), Engine(), View()
    )
    assert full.seconds == 0
