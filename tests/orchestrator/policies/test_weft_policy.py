"""The default policy: on plain data where a decision is exact, and at work in virtual time."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dispatcher_world import World
from policy_view import Call, Engine, View, at
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.simulated.hardware import find_hardware
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.policy import parse_policy
from weft.orchestrator.programs.program import Program
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.metrics import measure
from weft.simulation.simulate import SimulatedFleet, Simulation, simulate
from weft.simulation.workloads import open_workload


def engine(name: str = "a", **more: Any) -> Any:
    """An engine that works, at a known speed."""
    usual = {"in_flight": 1, "programs": 1, "prefill_rate": 1000.0, "decode": 0.01}
    return Engine(name, **(usual | more))


def weft(**values: float) -> Any:
    return parse_policy({"weft": values})


def test_it_enters_if_it_fits_beside_claims_and_not_otherwise():
    view = View()
    for claimed, enters in ((8400, True), (8401, False)):  # 95% of 10,000, less 1,100
        busy = engine(claims=claimed)
        assert weft(horizon=0).admit(Call(), busy, view).enter is enters
    assert weft().admit(Call(), engine(claims=9999, programs=0), view).enter


def test_growth_that_is_soon_to_come_counts_at_admission():
    view, busy = View(), engine(claims=8000, programs=2)
    for _ in range(10):
        view.profiles.learn_growth("agent", 100)
    call = Call(Program("p", "agent"))
    # 9,500 - 8,000 - 1,100 = 400 are left, and three programs grow by 100 a call.
    assert weft(horizon=1).admit(call, busy, view).enter
    assert not weft(horizon=2).admit(call, busy, view).enter


def test_residents_that_outgrew_the_engine_displace_a_claim_but_never_wait():
    idle = Program("idle", claim=4000)
    grown = Call(Program("p", home=engine(), claim=500))
    # 95% of 10,000 hold the claims, its own of 500 apart, and 1,100 tokens of the call.
    for claims, yields in ((11_900, idle), (11_899, None), (8_900, None)):
        full = engine(claims=claims, weakest=idle)
        admission = weft().admit(grown, full, View())
        assert (admission.enter, admission.displace) == (yields is None, yields)
    assert weft().admit(grown, engine(claims=11_900), View()).enter


def test_a_program_yields_to_one_with_a_fraction_of_its_work():
    big = Program("big", claim=5000, rank=-80_000)
    busy = engine(claims=9000, weakest=big)
    small = Call(Program("small", expected_calls=9))  # 9 calls x 1,000 tokens
    view = View(waiting=100)
    assert weft(swap=8).admit(small, busy, view).displace is big
    assert weft(swap=9).admit(small, busy, view).displace is None


def test_an_idle_engine_refuses_nobody():
    big = Program("big", claim=5000, context=5000, rank=0)
    for rate in (0.0, 1000.0):
        full = engine(claims=9000, weakest=big, in_flight=0, prefill_rate=rate)
        assert weft().admit(Call(), full, View(waiting=2)).displace is big
        # Neither growth nor `fill` is a reason to do nothing.
        room = engine(claims=8900, programs=3, weakest=big, in_flight=0, prefill_rate=rate)
        assert weft(horizon=100).admit(Call(), room, View(waiting=2)).enter
        alone = engine(claims=0, programs=1, in_flight=0, prefill_rate=rate)
        assert weft().admit(Call(prompt_tokens=9700), alone, View()).enter


def test_an_idle_engine_waits_for_its_weakest_twice_as_long_as_loading_it_again_would_take():
    gone = Program("gone", claim=5000, context=5000, acting=100.0)
    full = engine(claims=9000, weakest=gone, in_flight=0)  # 5 s to load it again
    for reload, until in ((0.5, 105.0), (1, 110.0)):
        policy = weft(reload=reload)
        early = policy.admit(Call(), full, View(now=until - 0.1, waiting=2))
        assert (early.enter, early.displace, early.again) == (False, None, until)
        assert policy.admit(Call(), full, View(now=until, waiting=2)).displace is gone
    # What fits, but leaves no room for growth, waits a quarter of that time.
    room = engine(claims=8900, programs=3, weakest=gone, in_flight=0)
    early = weft().admit(Call(), room, View(now=102.4, waiting=2))
    assert (early.enter, early.displace, early.again) == (False, None, 102.5)
    assert weft().admit(Call(), room, View(now=102.5, waiting=2)).enter
    unknown = engine(claims=9000, weakest=gone, in_flight=0, prefill_rate=0.0)
    assert weft().admit(Call(), unknown, View(now=100.0, waiting=2)).displace is gone


def test_calls_go_to_the_idle_engine_that_would_take_them():
    """However much nearer another one is where they would wait."""
    busy = engine("busy", claims=9000, in_flight=2, held=1000)
    idle = engine("idle", claims=9000, in_flight=0, attached=9000, weakest=Program("w", claim=1))
    assert weft().place(Call(), View([busy, idle])).engine is idle


@pytest.mark.parametrize(
    ("limits", "work"),
    [
        ({"expected_calls": 5}, 5 * 1000),
        ({"most_calls": 3}, 3 * 1000),
        ({"most_tokens": 700}, 700),
        ({"expected_calls": 5, "calls": 3}, 2 * 1000),
    ],
)
def test_what_is_announced_or_budgeted_bounds_the_work(limits: dict[str, Any], work: int):
    key = weft().order(Call(Program("p", **limits)), View()).key
    assert key == (1.0, work)


def test_the_program_with_less_left_goes_first_and_residents_before_all():
    view = View()
    for calls in (1, 2, 2, 3, 3, 3, 40, 50):
        view.profiles.learn_calls("agent", calls)

    def key(**at: Any) -> tuple[float, ...]:
        return weft().order(Call(Program("p", "agent", **at)), view).key

    assert key(claim=1) < key(calls=1) < key(calls=10)


@pytest.mark.parametrize(("seconds", "kept"), [(4.0, True), (6.0, False)])
def test_room_is_kept_while_that_is_cheaper_than_loading_again(seconds: float, kept: bool):
    # 2,000 tokens take 2 s to load and are a fifth of the room: 10 s of a whole fifth.
    view = View()
    for _ in range(50):
        view.profiles.learn_tool("agent", "tool", seconds)
    program = Program("p", "agent", context=2000, tool="tool")
    kept_for = weft(reload=0.5).retain(program, engine(), view).seconds
    assert (kept_for >= seconds * 0.9) is kept
    assert kept_for == 0 or kept


def test_no_room_is_kept_for_programs_that_will_hardly_come_back():
    view = View()
    for _ in range(50):
        view.profiles.learn_tool("agent", "", 1.0)
        view.profiles.learn_return("agent", False)
    first, later = (Program("p", "agent", context=2000, calls=n, silent=True) for n in (1, 2))
    assert weft().retain(first, engine(), view).seconds == 0
    assert weft().retain(later, engine(), view).seconds > 0
    view.profiles.learn_return("agent", True)  # it is seen again when they do come back
    assert view.profiles.returns("agent") > 0


def test_room_of_those_that_end_without_a_word_is_kept_while_they_may_come_back():
    view = View()
    for _ in range(50):
        view.profiles.learn_tool("agent", "", 1.0)
        view.profiles.fell_silent("agent", 10)
    silent, other = Program("p", silent=True), Program("p")
    for program in (silent, other):
        program.name, program.context = "agent", 2000

    def kept(program: Program, calls: int) -> float:
        program.calls = calls
        return weft().retain(program, engine(), view).seconds

    assert kept(silent, 9) > 1
    assert kept(silent, 10) == 0
    assert kept(other, 10) > 1  # it would have said so


def test_what_is_soon_loaded_again_yields_to_whatever_waits():
    view = View(waiting=100)
    for _ in range(50):
        view.profiles.learn_return("once", False)
    once = Program("once", "once", claim=5000, context=5000, calls=1)
    kept = Program("kept", "agent", claim=5000, context=5000, calls=2)
    assert weft().admit(Call(), engine(claims=9000, weakest=once), view).displace is once
    assert weft().admit(Call(), engine(claims=9000, weakest=kept), view).displace is None


def test_room_is_kept_while_the_engines_speed_is_unknown():
    program = Program("p", context=2000)
    assert weft().retain(program, engine(prefill_rate=0), View()).seconds == math.inf


def test_new_programs_spread_and_known_ones_return_to_their_cache():
    crowded, empty = engine("crowded", attached=5000), engine("empty", attached=3000)
    view = View([crowded, empty])
    assert weft().place(Call(), view).engine is empty
    crowded.held = 1000  # but a shared prompt may outweigh it
    assert weft().place(Call(), View([crowded, engine("empty", attached=4500)])).engine is crowded
    known: Any = Program("p", home=crowded, context=1000)
    assert weft().place(Call(known), view).engine is crowded


def test_a_long_prompt_goes_where_it_holds_up_fewer_calls():
    busy = engine("busy", in_flight=4, attached=3000, capacity=90_000)
    quiet = engine("quiet", in_flight=1, attached=30_000, capacity=90_000)
    view = View([busy, quiet])
    assert weft().place(Call(prompt_tokens=8000), view).engine is busy
    assert weft().place(Call(prompt_tokens=20_000), view).engine is quiet


def test_a_claim_keeps_no_program_from_an_idle_engine_while_its_own_has_no_slot():
    full, idle = engine("full", in_flight=8, queued=4), engine("idle")
    full.held = 1000
    owner = at(full)
    assert weft().place(Call(owner), View([full, idle])).engine is idle
    full.in_flight = 7  # there is a slot
    stays = weft().place(Call(owner), View([full, idle]))
    assert stays.engine is full
    assert stays.firm
    full.in_flight, idle.in_flight = 8, 6  # hardly better
    assert weft().place(Call(owner), View([full, idle])).engine is full


def test_busy_is_an_engine_by_the_calls_that_it_can_run():
    small, large = engine("small", concurrency=2, in_flight=2), engine("large", concurrency=64)
    small.held, large.in_flight = 1000, 5  # more than on the other, and yet hardly anything
    assert weft().place(Call(at(small)), View([small, large])).engine is large
    assert weft().place(Call(at(small, claim=0)), View([small, large])).engine is large


def test_an_engine_that_joins_is_used_by_programs_that_live_elsewhere():
    world = World("weft", 1, concurrency=4, kv_tokens=100_000)
    asked = [world.ask(f"p{number}", 400) for number in range(12)]
    joins = Replica(ScriptedEngine("", model="m", name="joins", concurrency=4))
    while len(asked) < 400:
        world.wait(0.2)
        if len(asked) > 100 and joins not in world.replicas:
            world.replicas.append(joins)
            world.dispatcher.roster.add(joins)
        for name in list(world.running):
            world.end(name)
            program = name.partition(".")[0]
            world.at(world.now + 0.3, lambda program=program: asked.append(world.ask(program, 400)))
    there = [name for name in asked if world.tickets[name].replica is joins]
    assert len(there) > 50


def play(policy: str, arrivals: str, limit: int = 30) -> Simulation:
    """Agents with contexts of up to half of an engine's KV."""
    work = open_workload(
        f"coding_agents(n={limit}, max_calls=20, wait_max=120, max_tokens=200000)",
        block_size=64,
    )
    fleet = SimulatedFleet(2, find_hardware("h100"), 426_000)
    return simulate(work, parse_policy(policy), fleet, parse_arrivals(arrivals))


def test_it_stands_aside_where_there_is_room():
    quiet = play("weft", "closed(n=2)")
    assert quiet.counters.longest_wait == 0
    assert quiet.counters.forced == 0
    best = min(measure(play(p, "closed(n=2)").played).mean for p in ("sticky", "prefix"))
    assert measure(quiet.played).mean <= 1.01 * best


def test_under_overload_everyone_finishes_and_sooner_than_with_affinity_alone():
    weft, prefix = (
        measure(play(p, "burst", limit=40).played) for p in ("weft", "prefix(affinity=true)")
    )
    assert weft.jobs == prefix.jobs == 40
    assert weft.mean < prefix.mean


def test_patience_bounds_the_wait():
    impatient = play("weft(patience=30)", "burst", limit=40)
    patient = play("weft(patience=100000)", "burst", limit=40)
    assert impatient.counters.longest_wait < patient.counters.longest_wait
    # Once overdue, a call waits at most for those that run on its engine.
    running = max(call.ended - call.sent for call in impatient.played.calls)
    overdue = [c for c in impatient.played.calls if c.sent - c.came > 30]
    ahead = sum(1 for c in overdue if c.sent - c.came > 30 + running)
    assert ahead <= len(overdue) * 0.5


def test_by_default_a_call_waits_an_hour_at_most_for_those_that_go_before_it():
    """A large program among small ones, which always leave too little room for it."""
    world = World("weft", concurrency=8)
    first = world.ask("small")
    big = world.ask("big", 1450)
    while big not in world.running:
        world.ask(f"small{world.now}")
        world.wait(50)
        for name in [n for n in world.running if world.tickets[n].bound_at <= world.now - 150]:
            world.end(name)
            world.dispatcher.end(world.tickets[name].program.id)
    assert first not in world.running
    assert 3600 <= world.tickets[big].bound_at <= 3600 + 150
    assert world.running == [big]
