"""Policies' decisions, on views made of plain data: they are pure, so the answers are exact."""

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_view import Call, Engine, View, at
from weft.errors import UsageError
from weft.orchestrator.estimates.distribution import Distribution
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.estimates.ttl import memoryfulness
from weft.orchestrator.policy import Order, Policy, parse_policy, policies
from weft.orchestrator.programs.program import Program

HUGE = 10**9


def placed(spec: str, call: Call, *engines: Engine) -> str:
    """The name of the engine that gets the call."""
    return parse_policy(spec).place(call, View(list(engines))).engine.name


def decisions(policy: Policy, call: Call, view: View) -> list[Any]:
    """All that a policy decides, without its words."""
    placement = policy.place(call, view)
    order = policy.order(call, view)
    out: list[Any] = [placement.engine.name, placement.firm, order.key, order.overdue]
    for engine in view.engines:
        admission = policy.admit(call, engine, view)
        retention = policy.retain(call.program, engine, view)
        displaced = admission.displace and admission.displace.id
        out += [admission.enter, displaced, retention.seconds, retention.rank]
    return out


def reasons(policy: Policy, call: Call, view: View) -> list[str]:
    engine = view.engines[0]
    return [
        policy.place(call, view).reason,
        policy.order(call, view).reason,
        policy.admit(call, engine, view).reason,
        policy.retain(call.program, engine, view).reason,
    ]


# Views at random


@st.composite
def engines(draw: st.DrawFn, name: str) -> Engine:
    concurrency = draw(st.integers(1, 8))
    in_flight = draw(st.integers(0, concurrency))
    reserved = draw(st.integers(0, 10_000)) if in_flight else 0
    claims = draw(st.integers(0, 12_000 - reserved))
    engine = Engine(
        name,
        concurrency=concurrency,
        draining=draw(st.booleans()),
        in_flight=in_flight,
        queued=draw(st.integers(0, 3)),
        programs=in_flight + (3 if claims else 0),
        reserved=reserved,
        claims=claims,
        held=draw(st.integers(0, 2000)),
        prefill_rate=draw(st.sampled_from([0.0, 5000.0, 20_000.0])),
        decode=draw(st.sampled_from([0.0, 0.02])),
    )
    if claims:
        engine.weakest = Program("weakest", claim=claims, rank=1.0, acting=0.0)
    return engine


@st.composite
def views(draw: st.DrawFn) -> tuple[Call, View]:
    fleet = [draw(engines(name)) for name in "abc"[: draw(st.integers(1, 3))]]
    home: Any = draw(st.sampled_from([None, *fleet]))
    program = Program(
        "p",
        "agent",
        draw(st.sampled_from(["", "red"])),
        arrived=draw(st.floats(0, 100)),
        deadline=draw(st.one_of(st.none(), st.floats(0, 1000))),
        expected_calls=draw(st.one_of(st.none(), st.integers(1, 9))),
        calls=draw(st.integers(0, 9)) if home else 0,
        seconds=draw(st.floats(0, 100)),
        critical=draw(st.floats(0, 100)),
        waited=draw(st.floats(0, 100)),
        computed=draw(st.integers(0, 10_000)),
        context=draw(st.integers(0, 5000)),
        home=home,
    )
    if home is not None:
        program.running = draw(st.integers(0, home.in_flight))
        program.claim = draw(st.integers(0, home.claims)) if not program.running else 0
    call = Call(
        program,
        arrival=draw(st.integers(0, 50)),
        since=100.0,
        siblings=draw(st.integers(1, 4)),
        prompt_tokens=draw(st.integers(1, 9000)),
        answer_tokens=draw(st.integers(1, 900)),
        fair_start=draw(st.floats(0, 1e6)),
    )
    view = View(fleet, now=100.0, waiting=draw(st.integers(0, 9)))
    for _ in range(draw(st.sampled_from([0, 40]))):
        view.profiles.learn_calls("agent", 6)
        view.profiles.learn_tool("agent", "", 2.0)
    return call, view


NAMES = sorted(set(policies()) - {"weft"})


SHIPPED = {name for name, kind in policies().items() if kind.__module__.startswith("weft.")}
ALL = [parse_policy(name) for name in sorted(SHIPPED - {"weft"})]


@given(seen=views())
def test_decisions_are_pure_and_keep_the_rules_of_all_policies(seen: tuple[Call, View]) -> None:
    call, view = seen
    before = repr((call, view.engines, view.waiting))
    for policy in ALL:
        assert decisions(policy, call, view) == decisions(policy, call, view)
        assert all(reasons(policy, call, view))
        assert not any(math.isnan(part) for part in policy.order(call, view).key)
        for engine in view.engines:
            admission = policy.admit(call, engine, view)
            assert not admission.enter or admission.displace is None
            retention = policy.retain(call.program, engine, view)
            assert retention.seconds >= 0
            assert not math.isnan(retention.rank)
    assert repr((call, view.engines, view.waiting)) == before


@given(seen=views())
def test_where_new_programs_go(seen: tuple[Call, View]) -> None:
    call, view = seen
    call.program.home, call.program.running, call.program.claim = None, 0, 0
    able = [engine for engine in view.engines if not engine.draining] or view.engines
    for policy in ALL:
        placement = policy.place(call, view)
        if policy.name == "round_robin":
            continue
        assert placement.engine in able
        if policy.name != "hexgen":
            # They are not bound to an engine while they wait, nor wait while one has room.
            assert not placement.firm
            assert placement.engine.has_room(call) or not any(e.has_room(call) for e in able)


def test_parameters_out_of_range_are_refused() -> None:
    for spec in (
        "cap(k=0)",
        "hexgen(alpha=1.5)",
        "prefix(load_tokens=-1)",
        "prefix(overload=0.5)",
        "agentix(variant=mlfq)",
        "agentix(growth=1)",
        "agentix(queues=0)",
        "agentix(quantum=0)",
        "saga(ttl_max=-1)",
        "saga(imbalance=0)",
        "thunderagent(patience=0)",
        "continuum(ttl_max=yes)",
    ):
        with pytest.raises(UsageError, match="must be"):
            parse_policy(spec)


def test_the_docs_name_every_policy_with_its_parameters() -> None:
    page = (Path(__file__).parents[3] / "docs" / "policies.md").read_text()
    page = page.partition("\n## Shipped policies\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*)\|", page, re.MULTILINE))
    for policy in ALL:
        names = re.findall(r"`(\w+)`", rows[policy.name])
        assert names == [p.name for p in policy.parameters()]
    assert set(rows) == {policy.name for policy in ALL} | {"weft"}


# Extremes that are another policy


def same(one: str, other: str, seen: tuple[Call, View]) -> None:
    call, view = seen
    assert decisions(parse_policy(one), call, view) == decisions(parse_policy(other), call, view)


@given(seen=views())
def test_a_large_cap_is_sticky(seen: tuple[Call, View]) -> None:
    same(f"cap(k={HUGE})", "sticky", seen)


@given(seen=views())
def test_affinity_that_ignores_overload_places_known_programs_as_sticky(
    seen: tuple[Call, View],
) -> None:
    call, view = seen
    prefix = parse_policy(f"prefix(affinity=true, overload={HUGE})").place(call, view)
    sticky = parse_policy("sticky").place(call, view)
    if sticky.firm:  # it has a home
        assert (prefix.engine, prefix.firm) == (sticky.engine, True)


@given(seen=views())
def test_prefix_with_much_weight_on_load_chooses_the_fewest_calls(
    seen: tuple[Call, View],
) -> None:
    call, view = seen
    chosen = parse_policy(f"prefix(load_tokens={HUGE})").place(call, view).engine
    assert chosen.in_flight == parse_policy("fcfs").place(call, view).engine.in_flight


@given(seen=views())
def test_prefix_without_weight_on_load_chooses_the_most_cached(seen: tuple[Call, View]) -> None:
    call, view = seen
    chosen = parse_policy("prefix(load_tokens=0)").place(call, view).engine
    others = [e for e in view.engines if e.has_room(call) and not e.draining]
    assert all(chosen.cached(call) >= e.cached(call) for e in others)


@given(seen=views())
def test_fair_places_as_prefix(seen: tuple[Call, View]) -> None:
    call, view = seen
    for affinity in ("false", "true"):
        fair = parse_policy(f"fair(affinity={affinity})").place(call, view)
        assert fair == parse_policy(f"prefix(affinity={affinity})").place(call, view)


@given(seen=views())
def test_saga_without_time_to_live_keeps_no_claim(seen: tuple[Call, View]) -> None:
    call, view = seen
    policy = parse_policy("saga(ttl_max=0)")
    assert policy.retain(call.program, view.engines[0], view).seconds == 0


@given(seen=views())
def test_saga_with_its_parts_off_is_fcfs_by_load(seen: tuple[Call, View]) -> None:
    call, view = seen
    for engine in view.engines:
        engine.claims, engine.reserved = 0, 0
    policy = parse_policy("saga(load=0, ttl_max=0, fair=false)")
    chosen = policy.place(call, view).engine
    fcfs = parse_policy("fcfs")
    assert policy.order(call, view) == fcfs.order(call, view)
    share = {e.name: e.in_flight / e.concurrency for e in view.engines}
    able = [e for e in view.engines if e.has_room(call) and not e.draining]
    assert all(share[chosen.name] <= share[e.name] for e in able)
    for engine in able:
        if engine.need(call) <= engine.capacity:
            assert policy.admit(call, engine, view).enter


@given(seen=views())
def test_continuum_without_time_to_live_is_program_fcfs_without_claims(
    seen: tuple[Call, View],
) -> None:
    call, view = seen
    policy = parse_policy("continuum(ttl_max=0)")
    assert policy.retain(call.program, view.engines[0], view).seconds == 0
    call.program.claim = call.program.running = 0
    assert policy.order(call, view).key[1:] == parse_policy("sticky").order(call, view).key


@given(seen=views())
def test_thunderagent_that_counts_no_acting_tokens_admits_what_has_room(
    seen: tuple[Call, View],
) -> None:
    call, view = seen
    policy = parse_policy("thunderagent(acting_weight=0, per_program=0)")
    for engine in view.engines:
        if engine.has_room(call) and engine.need(call) <= engine.capacity:
            assert policy.admit(call, engine, view).enter


@given(seen=views())
def test_agentix_of_one_queue_is_first_come_first_served(seen: tuple[Call, View]) -> None:
    call, view = seen
    order = parse_policy("agentix(queues=1)").order(call, view)
    assert (order.key, order.overdue) == ((0.0,), None)


@given(seen=views())
def test_agentix_for_which_all_prompts_are_short_chooses_the_fewest_calls(
    seen: tuple[Call, View],
) -> None:
    call, view = seen
    chosen = parse_policy(f"agentix(short={HUGE})").place(call, view).engine
    assert chosen.in_flight == parse_policy("fcfs").place(call, view).engine.in_flight


@given(seen=views())
def test_llumnix_of_equal_engines_without_batches_is_least_loaded(
    seen: tuple[Call, View],
) -> None:
    call, view = seen
    chosen = parse_policy("llumnix(batch=false)").place(call, view).engine
    least = parse_policy("least_loaded").place(call, view).engine
    if not any(e.draining for e in view.engines):
        assert chosen.reserved == least.reserved


@given(seen=views())
def test_hexgen_of_alpha_0_is_the_least_load_of_alpha_1_the_quickest(
    seen: tuple[Call, View],
) -> None:
    call, view = seen
    for engine in view.engines:
        engine.draining = False
    able = view.engines
    chosen = parse_policy("hexgen(alpha=0)").place(call, view).engine
    assert chosen.in_flight + chosen.queued == min(e.in_flight + e.queued for e in able)
    for engine in able:
        engine.prefill_rate, engine.decode = 1000.0 * (1 + able.index(engine)), 0.01
        engine.held = 0
    assert parse_policy("hexgen(alpha=1)").place(call, view).engine is able[-1]


# The simple ones


def test_round_robin_takes_turns() -> None:
    fleet = [Engine("a"), Engine("b", in_flight=8), Engine("c")]
    turns = [placed("round_robin", Call(arrival=i), *fleet) for i in range(6)]
    assert turns == ["a", "b", "c"] * 2


def test_fcfs_and_least_loaded_look_at_calls_and_at_tokens() -> None:
    few, small = Engine("few", in_flight=1, reserved=5000), Engine("small", in_flight=2)
    small.reserved = 100
    assert placed("fcfs", Call(), few, small) == "few"
    assert placed("least_loaded", Call(), few, small) == "small"
    few.in_flight = few.concurrency
    assert placed("fcfs", Call(), few, small) == "small"


def test_sticky_counts_programs_and_stays_home_though_it_is_full() -> None:
    crowded, empty = Engine("crowded", programs=5), Engine("empty", programs=4)
    assert placed("sticky", Call(), crowded, empty) == "empty"
    crowded.in_flight = 8
    assert placed("sticky", Call(at(crowded)), crowded, empty) == "crowded"


def test_the_oldest_program_goes_first_under_sticky_and_cap() -> None:
    old, young = Call(Program("old", arrived=1.0), arrival=9), Call(Program("new", arrived=2.0))
    for spec in ("sticky", "cap"):
        policy = parse_policy(spec)
        assert policy.order(old, View()).key < policy.order(young, View()).key


def test_a_program_without_a_claim_is_still_at_home() -> None:
    home, other = Engine("home", programs=9), Engine("other")
    for spec in ("sticky", "prefix(affinity=true)", "continuum", "saga", "agentix(short=9)"):
        assert placed(spec, Call(at(home, claim=0)), home, other) == "home"


def test_cap_admits_k_programs_and_those_that_are_there() -> None:
    engine = Engine(programs=3)
    for k, enters in ((3, False), (4, True)):
        admission = parse_policy(f"cap(k={k})").admit(Call(), engine, View([engine]))
        assert admission.enter is enters
        assert admission.reason == f"3 of {k} programs live there"
    resident = Call(at(engine))
    assert parse_policy("cap(k=3)").admit(resident, engine, View([engine])).enter


def test_a_home_that_drains_keeps_only_its_residents() -> None:
    draining, other = Engine("draining", draining=True), Engine("other")
    assert placed("sticky", Call(at(draining)), draining, other) == "draining"
    assert placed("sticky", Call(at(draining, claim=0)), draining, other) == "other"


@pytest.mark.parametrize(
    ("spec", "firm"),
    [
        ("fcfs", False),
        ("least_loaded", False),
        ("prefix", False),
        ("fair", False),
        ("llumnix", False),
        ("lmetric", False),
        ("agentix", False),
        ("round_robin", True),
        ("sticky", True),
        ("cap", True),
        ("prefix(affinity=true)", True),
        ("thunderagent", True),
        ("continuum", True),
        ("saga", True),
        ("agentix(short=100)", True),
        ("hexgen", True),
    ],
)
def test_who_waits_for_its_home_alone(spec: str, firm: bool) -> None:
    home = Engine("home", in_flight=1, reserved=1000)
    placement = parse_policy(spec).place(Call(at(home)), View([home]))
    assert placement.firm is firm


def test_prefix_weighs_cached_tokens_against_calls_in_flight() -> None:
    warm, cold = Engine("warm", held=320), Engine("cold")
    for in_flight, best in ((9, "warm"), (11, "cold")):
        warm = replace(warm, in_flight=in_flight, concurrency=99)
        assert placed("prefix", Call(), warm, cold) == best
    placement = parse_policy("prefix").place(Call(), View([warm, cold]))
    assert placement.reason == "0 of 1000 tokens cached, 0 in flight"


def test_affinity_leaves_a_home_that_is_full_and_overloaded() -> None:
    home, other = Engine("home", in_flight=8, held=0), Engine("other")
    spec = "prefix(affinity=true, overload=1.5)"
    assert placed(spec, Call(at(home)), home, other) == "other"  # 8 of a mean of 4
    other.in_flight = 3
    assert placed(spec, Call(at(home)), home, other) == "home"  # 8 of a mean of 5.5
    other.in_flight, home.in_flight = 0, 7
    assert placed(spec, Call(at(home)), home, other) == "home"  # it has room


# Agentix


@given(steps=st.lists(st.floats(0.01, 20), max_size=20))
def test_atlas_is_plas_on_chains(steps: list[float]) -> None:
    program = Program("p")
    for step in steps:  # service in sum, and along the only chain there is
        program.seconds += step
        program.critical += step
    orders = [
        parse_policy(f"agentix(variant={variant})").order(Call(program), View())
        for variant in ("plas", "atlas")
    ]
    assert orders[0] == orders[1]


def test_plas_counts_the_sum_and_atlas_the_longest_chain() -> None:
    # Four calls of 3 s at once, then one of 2 s: 14 s in sum, 5 s along the longest chain.
    program = Program("p", seconds=14.0, critical=5.0)
    for variant, queue in (("plas", 3), ("atlas", 2)):
        order = parse_policy(f"agentix(variant={variant})").order(Call(program), View())
        assert order.key == (queue,)  # bounds at 2, 4, 8, 16 s


def test_queues_grow_by_their_ratio() -> None:
    policy: Any = parse_policy("agentix(queues=4, quantum=1, growth=10)")
    services = [0.0, 0.999, 1.0, 9.99, 10.0, 99.9, 100.0, 1e6]
    assert [policy.queue(s) for s in services] == [0, 0, 1, 1, 2, 2, 3, 3]


@given(served=st.floats(2, 1000), waited=st.floats(0, 1000), beta=st.floats(0, 20))
def test_a_call_is_promoted_when_waiting_reaches_beta_times_service(
    served: float, waited: float, beta: float
) -> None:
    program = Program("p", seconds=served, waited=waited)
    call = Call(program, since=50.0)
    overdue = parse_policy(f"agentix(beta={beta:f})").order(call, View(now=50.0)).overdue
    assert overdue is not None
    ratio = (waited + overdue - call.since) / served
    if overdue > call.since:
        assert ratio == pytest.approx(beta, abs=1e-4)
    else:
        assert ratio >= beta - 1e-4


def test_programs_of_one_call_are_first_come_first_served() -> None:
    policy = parse_policy("agentix")
    keys = {policy.order(Call(Program(f"p{i}"), arrival=i), View()).key for i in range(9)}
    assert keys == {(0.0,)}  # ties go by arrival


def test_long_programs_do_not_go_before_short_ones() -> None:
    policy = parse_policy("agentix")
    long, short = Call(Program("long", seconds=60.0)), Call(Program("short", seconds=1.0))
    assert policy.order(short, View()).key < policy.order(long, View()).key


def test_short_prompts_go_anywhere_long_ones_home() -> None:
    home, idle = Engine("home", in_flight=3), Engine("idle")
    for tokens, best in ((2048, "idle"), (2049, "home")):
        call = Call(at(home), prompt_tokens=tokens)
        assert placed("agentix", call, home, idle) == best


# HexGen


def urgency(call: Call, now: float, share: float, own: float) -> float:
    """As published: own time - (share of the budget - waited)."""
    assert call.program.deadline is not None
    slo = share * (call.program.deadline - call.since)
    return own - (slo - (now - call.since))


@given(
    calls=st.lists(
        st.tuples(st.floats(0, 50), st.floats(60, 500), st.integers(1, 9), st.integers(1, 900)),
        min_size=2,
        max_size=8,
    ),
    now=st.floats(50, 60),
)
def test_the_latest_start_orders_as_urgency_does(
    calls: list[tuple[float, float, int, int]], now: float
) -> None:
    # With 0.01 s a token and one stage like the other, own time is answer / 100.
    policy, view = parse_policy("hexgen"), View([Engine(decode=0.01)])
    found: list[tuple[Order, float]] = []
    for since, deadline, left, answer in calls:
        program = Program("p", deadline=deadline, expected_calls=left)
        call = Call(program, since=since, answer_tokens=answer)
        urgent = urgency(call, now, 1 / left, answer / 100)
        found.append((policy.order(call, view), urgent))
    for (one, first), (other, second) in pairwise(found):
        assert one.key[0] - other.key[0] == pytest.approx(second - first, abs=1e-6)


def test_unused_time_is_given_to_the_stages_to_come() -> None:
    view = View([Engine(decode=0.01)])  # a call of 100 tokens takes 1 s
    starts: list[float] = []
    for spent in (30.0, 5.0):  # of 100 s, after two of four stages
        program = Program("p", deadline=100.0, expected_calls=4, calls=2, seconds=2.0)
        order = parse_policy("hexgen").order(Call(program, since=spent), view)
        starts.append(order.key[0])
    assert starts == pytest.approx([30 + 70 / 2 - 1, 5 + 95 / 2 - 1])


def test_stages_share_by_expected_time_and_a_fan_out_is_one() -> None:
    view = View([Engine(decode=0.01)])
    program = Program("p", deadline=90.0, expected_calls=5, calls=1, seconds=4.0)
    # Four more calls, all at once: one stage, which has the whole budget.
    order = parse_policy("hexgen").order(Call(program, siblings=4), view)
    assert order.key[0] == pytest.approx(90 - 1)
    # One after the other: this one takes 1 s, the others 4 s each.
    order = parse_policy("hexgen").order(Call(program), view)
    assert order.key[0] == pytest.approx(90 / 13 - 1)
    assert "announced" in order.reason


def test_stages_to_come_are_learned_where_they_are_not_announced() -> None:
    # Programs make 6 calls, of which 2 are done; what was announced counts until it is done.
    policy, view = parse_policy("hexgen"), View([Engine("slow", decode=0.05), Engine()])
    view.engines[1].decode = 0.01  # 1 s on the quicker engine
    view.profiles = profiles(3.0, [6])
    for announced, calls, stages in ((None, 2, 4), (4, 2, 2), (2, 2, 4)):
        program = Program("p", "agent", deadline=80.0, expected_calls=announced, calls=calls)
        program.seconds = 1.0 * calls
        order = policy.order(Call(program), view)
        assert order.key[0] == pytest.approx(80 / stages - 1, rel=0.02)


def test_calls_without_deadline_go_last_and_speeds_need_not_be_known() -> None:
    policy = parse_policy("hexgen")
    late = Call(Program("p", deadline=1e6, expected_calls=2))
    assert policy.order(Call(), View()).key > policy.order(late, View()).key == (5e5,)


def test_hexgen_scores_speed_against_load() -> None:
    # The other takes twice as long, so scores are alpha - (1 - alpha), and alpha / 2 - load.
    quick, slow = Engine("quick", in_flight=2, decode=0.01), Engine("slow", decode=0.02)
    for alpha, best in ((0.6, "slow"), (0.7, "quick")):  # they cross at alpha = 2/3
        assert placed(f"hexgen(alpha={alpha})", Call(), quick, slow) == best


# LMetric


def test_lmetric_multiplies_new_tokens_by_the_batch() -> None:
    warm, cold = Engine("warm", held=900, reserved=1), Engine("cold")
    for in_flight, queued, best in (
        (4, 0, "warm"),  # 100 x 5, against 1000 x 1
        (8, 0, "warm"),
        (9, 0, "cold"),  # equal, and less KV is in use there
        (4, 6, "cold"),  # those that wait for the engine count
        (99, 0, "cold"),
    ):
        warm = replace(warm, in_flight=in_flight, queued=queued, concurrency=99)
        assert placed("lmetric", Call(), warm, cold) == best
    warm = replace(warm, in_flight=4, queued=0)
    placement = parse_policy("lmetric").place(Call(), View([warm, cold]))
    assert placement.reason == "100 new tokens x 5 calls is the least"
    whole = replace(warm, held=5000, in_flight=98)  # the last token is always computed
    assert placed("lmetric", Call(), whole, cold) == "warm"  # 1 x 99
    assert parse_policy("lmetric").place(Call(), View([whole])).reason.startswith("1 new tokens")
    full = replace(warm, concurrency=4)  # the next best has room
    assert placed("lmetric", Call(), full, cold) == "cold"


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 1000)), min_size=1, max_size=6),
    st.booleans(),
)
def test_lmetric_at_its_extremes(loads: list[tuple[int, int]], alike: bool) -> None:
    engines = [
        Engine(str(i), in_flight=3 if alike else calls, held=held if alike else 0)
        for i, (calls, held) in enumerate(loads)
    ]
    chosen = engines[int(placed("lmetric", Call(), *engines))]
    if alike:  # as many calls run everywhere: the one with most of the prompt cached
        assert min(chosen.held, 999) == min(999, max(e.held for e in engines))
    else:  # nothing is cached: the one with the fewest calls
        assert chosen.in_flight == min(e.in_flight for e in engines)


# Llumnix


def test_freeness_is_free_tokens_a_running_call() -> None:
    many = Engine("many", in_flight=4, reserved=4900)  # (10000 - 4900 - 1100) / 4 = 1000
    few = Engine("few", in_flight=1, reserved=7901)  # 999
    assert placed("llumnix", Call(), many, few) == "many"
    assert placed("llumnix(batch=false)", Call(), many, few) == "many"
    few.reserved = 7899
    assert placed("llumnix", Call(), many, few) == "few"
    assert (
        parse_policy("llumnix").place(Call(), View([many, few])).reason.startswith("freeness 1001 ")
    )


def test_a_draining_engine_gets_nothing_though_it_is_free() -> None:
    draining, full = Engine("draining", draining=True), Engine("full", in_flight=8)
    assert placed("llumnix", Call(), draining, full) == "full"


# Fair queueing


@given(
    costs=st.lists(st.tuples(st.booleans(), st.integers(1, 1000)), min_size=1, max_size=60),
    slack=st.integers(0, 5),
)
def test_tenants_differ_by_at_most_the_largest_calls(
    costs: list[tuple[bool, int]], slack: int
) -> None:
    # Both tenants have all their calls waiting; tags as start-time fair queueing gives them.
    policy, finish = parse_policy("fair"), {True: 0.0, False: 0.0}
    queue: list[tuple[tuple[float, ...], int, bool, int]] = []
    for arrival, (tenant, cost) in enumerate(costs):
        call = Call(fair_start=finish[tenant], arrival=arrival)
        queue.append((policy.order(call, View()).key, arrival, tenant, cost))
        finish[tenant] += cost
    queue.sort()
    had, left = {True: 0, False: 0}, {t: sum(q[2] is t for q in queue) for t in (True, False)}
    largest = {t: max([c for u, c in costs if u is t], default=0) for t in (True, False)}
    for _, _, tenant, cost in queue:
        if not all(left.values()):
            break
        had[tenant] += cost
        left[tenant] -= 1
        assert abs(had[True] - had[False]) <= largest[True] + largest[False]


def test_fair_of_one_tenant_is_first_come_first_served() -> None:
    policy = parse_policy("fair")
    keys = [policy.order(Call(fair_start=100.0 * i), View()).key for i in range(5)]
    assert keys == sorted(keys)


# ThunderAgent


def test_active_paused_new_the_smallest_first() -> None:
    engine, policy = Engine(), parse_policy("thunderagent")
    calls = [
        Call(at(engine, "active"), prompt_tokens=9000, since=5.0),
        Call(at(engine, "small", claim=0, calls=2), prompt_tokens=100, since=5.0),
        Call(at(engine, "large", claim=0, calls=2), prompt_tokens=200, since=5.0),
        Call(Program("new small"), prompt_tokens=10, since=5.0),
        Call(Program("new large"), prompt_tokens=20, since=5.0),
    ]
    orders = [policy.order(call, View([engine], now=7.0)) for call in calls]
    assert [order.key for order in orders] == sorted(order.key for order in orders)
    assert [order.overdue for order in orders] == [None] + [5.0 + 1800] * 4


def test_tokens_of_active_programs_count_and_a_hundred_for_each() -> None:
    # 5000 run, 3000 are claimed, 4 programs and this one: 10000 - 8000 - 500 = 1500 are left.
    engine = Engine(in_flight=2, programs=4, reserved=5000, claims=3000)
    engine.weakest = Program("w", claim=1000, rank=1000.0, acting=0.0)
    policy, view = parse_policy("thunderagent"), View([engine])
    assert policy.admit(Call(prompt_tokens=1400), engine, view).enter
    refused = policy.admit(Call(prompt_tokens=1401), engine, view)
    assert (refused.enter, refused.displace) == (False, None)
    assert "lacks 1 tokens" in refused.reason
    half = parse_policy("thunderagent(acting_weight=0.5)")
    assert half.admit(Call(prompt_tokens=1400 + 1500), engine, view).enter
    assert not half.admit(Call(prompt_tokens=1400 + 1501), engine, view).enter


def test_an_active_program_pauses_the_smallest_when_it_outgrows_the_engine() -> None:
    engine = Engine(in_flight=1, programs=4, reserved=5000, claims=4500)
    smallest = engine.weakest = Program("smallest", claim=1000, rank=1000.0, acting=0.0)
    policy, view = parse_policy("thunderagent"), View([engine])
    # Its own claim of 1500 makes way for 1600: 5000 + 3000 + 400 + 1600 fits exactly.
    call = Call(at(engine, claim=1500), prompt_tokens=1500)
    assert policy.admit(call, engine, view).enter
    call.prompt_tokens += 1
    assert policy.admit(call, engine, view).displace is smallest
    engine.weakest = None
    assert policy.admit(call, engine, view).enter


def test_with_decay_a_program_yields_once_it_weighs_less_than_half() -> None:
    engine = Engine(in_flight=1, programs=2, reserved=5000, claims=5000)
    away = engine.weakest = Program("away", claim=5000, rank=5000.0, acting=10.0)
    policy = parse_policy("thunderagent(decay=true)")
    for now, displaced in ((10.5, None), (11.5, away)):
        assert policy.admit(Call(), engine, View([engine], now=now)).displace is displaced
    assert parse_policy("thunderagent").admit(Call(), engine, View(now=99.0)).displace is None


def test_where_tokens_overflow_the_smallest_that_ends_a_call_is_paused() -> None:
    engine = Engine(in_flight=1, programs=1, reserved=7000)
    policy, view = parse_policy("thunderagent"), View([engine])
    kept = policy.retain(Program("p", context=2800), engine, view)
    assert (kept.seconds, kept.rank) == (math.inf, 2800.0)
    assert policy.retain(Program("p", context=2801), engine, view).seconds == 0
    engine.weakest = Program("w", rank=100.0)  # smaller: it will yield instead
    assert policy.retain(Program("p", context=2801), engine, view).seconds == math.inf


def test_paused_programs_resume_where_most_room_is() -> None:
    home, other = Engine("home", reserved=2000, in_flight=1), Engine("other", claims=1999)
    assert placed("thunderagent", Call(at(home, claim=0, calls=3)), home, other) == "other"
    assert placed("thunderagent", Call(at(home)), home, other) == "home"


# Claims: Continuum and SAGA


@pytest.mark.parametrize("name", ["continuum", "saga"])
def test_claims_keep_others_out_but_never_stop_an_engine(name: str) -> None:
    engine = Engine(in_flight=1, reserved=4000, claims=5000, programs=3)
    weakest = engine.weakest = Program("w", claim=2500, acting=0.0)
    policy, view = parse_policy(name), View([engine])
    assert policy.admit(Call(prompt_tokens=900), engine, view).enter  # 900 + 100 fit
    refused = policy.admit(Call(prompt_tokens=901), engine, view)
    assert (refused.enter, refused.displace) == (False, None)
    assert "lacks 1 tokens" in refused.reason
    # A resident program gets its own claim back, and beyond it others'.
    resident = Call(at(engine, claim=2500), prompt_tokens=3400)
    assert policy.admit(resident, engine, view).enter
    resident.prompt_tokens += 1
    assert policy.admit(resident, engine, view).displace is weakest
    # Nothing runs: the weakest claims go, and then it enters.
    idle = replace(engine, in_flight=0, reserved=0, claims=9500)
    assert policy.admit(Call(), idle, view).displace is weakest
    assert policy.admit(Call(), replace(idle, claims=0, weakest=None), view).enter


def test_continuum_lets_the_program_that_came_last_yield_first() -> None:
    policy, view = parse_policy("continuum"), View()
    ranks = [policy.retain(Program("p", arrived=t), Engine(), view).rank for t in (1.0, 2.0)]
    assert ranks[1] < ranks[0]


def profiles(tool: float, calls: list[int], times: int = 100) -> Profiles:
    known = Profiles()
    for i in range(times):
        known.learn_tool("agent", "grep", tool)
        known.learn_calls("agent", calls[i % len(calls)])
    return known


def test_continuum_waits_for_a_tool_of_known_time_if_and_only_if_it_is_worth_it() -> None:
    # All programs make 5 calls, so eta = 1; the tool takes 3 s. A miss costs 2 s of queue
    # (6 s for 3 calls) and context / 1000 s of reload: worth it above 1000 tokens.
    view = View(profiles=profiles(3.0, [5]))
    engine = Engine(prefill_rate=1000.0)
    for context, seconds in ((990, 0.0), (1010, 3.0)):
        program = Program("p", "agent", tool="grep", calls=3, waited=6.0, context=context)
        retention = parse_policy("continuum").retain(program, engine, view)
        assert retention.seconds == pytest.approx(seconds, rel=1e-3)
    assert "2 s of queue x 1.00 + 1.01 s of reload" in retention.reason
    capped = parse_policy("continuum(ttl_max=0.5)").retain(program, engine, view)
    assert capped.seconds == 0.5


def test_continuum_discounts_the_queue_where_the_end_is_not_foreseeable() -> None:
    known = profiles(3.0, [4, 8])
    calls = known.calls("agent")
    assert calls is not None
    eta = memoryfulness(calls)
    assert 0.3 < eta < 0.9
    for queue, seconds in ((0.98 * 3 / eta, 0.0), (1.02 * 3 / eta, 3.0)):
        program = Program("p", "agent", tool="grep", calls=2, waited=2 * queue)
        retention = parse_policy("continuum").retain(program, Engine(), View(profiles=known))
        assert retention.seconds == pytest.approx(seconds, rel=1e-3)


def test_continuum_starts_programs_where_least_is_claimed() -> None:
    many, few = Engine("many", claims=3000), Engine("few", reserved=2000, in_flight=1)
    assert placed("continuum", Call(), many, few) == "few"
    placement = parse_policy("continuum").place(Call(), View([many, few]))
    assert placement.reason.startswith("8000 tokens are free")


def test_continuum_of_exponential_tools_meets_the_closed_form() -> None:
    # tau* = ln(b lambda) / lambda, on the grid of the distribution's buckets (9%).
    known = Profiles(half_life=math.inf)
    for i in range(4000):
        known.learn_tool("agent", "grep", -2.0 * math.log(1 - (i + 0.5) / 4000))
    program = Program("p", "agent", tool="grep", calls=1, waited=12.0)
    retention = parse_policy("continuum").retain(program, Engine(), View(profiles=known))
    assert retention.seconds == pytest.approx(2 * math.log(12 / 2), rel=0.1)


def test_programs_within_their_time_to_live_go_before_older_ones() -> None:
    policy = parse_policy("continuum")
    engine = Engine()
    claiming = Call(at(engine, arrived=9.0))
    old, young = Call(Program("old", arrived=1.0)), Call(Program("young", arrived=2.0))
    keys = [policy.order(call, View()).key for call in (claiming, old, young)]
    assert keys == sorted(keys)


# SAGA


def test_saga_stays_home_below_its_load_and_goes_to_the_least_loaded_above() -> None:
    other = Engine("other", concurrency=10, in_flight=1)
    for in_flight, best in ((7, "home"), (8, "other")):
        home = Engine("home", concurrency=10, in_flight=in_flight)
        assert placed("saga", Call(at(home)), home, other) == best
    by_memory = Engine("home", concurrency=10, in_flight=1, reserved=8000)
    assert placed("saga", Call(at(by_memory)), by_memory, other) == "other"


def test_saga_sends_new_programs_where_they_fit_beside_claims() -> None:
    claimed, loaded = Engine("claimed", claims=9500), Engine("loaded", in_flight=3)
    assert placed("saga", Call(), claimed, loaded) == "loaded"
    claimed.claims = 8500
    assert placed("saga", Call(), claimed, loaded) == "claimed"


def test_saga_steals_what_would_wait_at_home_where_loads_differ_twofold() -> None:
    # Home is at 0.7 of its memory, so below `load`, but 4000 tokens don't fit.
    home = Engine("home", in_flight=1, reserved=7000)
    call = Call(at(home), prompt_tokens=3900)
    for reserved, best in ((3400, "other"), (3600, "home")):
        other = Engine("other", in_flight=1, reserved=reserved)
        assert placed("saga", call, home, other) == best
    assert placed(f"saga(imbalance={HUGE})", call, home, Engine("other", in_flight=1)) == "home"
    assert placed("saga", Call(at(home)), home, Engine("other")) == "home"  # it fits


def test_saga_orders_by_remaining_work_over_remaining_time() -> None:
    policy, view = parse_policy("saga"), View(now=10.0)

    def key(deadline: float, left: int) -> tuple[float, ...]:
        # Two calls of 3 s so far.
        program = Program("p", deadline=deadline, expected_calls=2 + left, calls=2, seconds=6.0)
        return policy.order(Call(program, since=10.0, fair_start=7.0), view).key

    assert key(70.0, 4) == pytest.approx((-12 / 60, 7.0))
    assert key(40.0, 4) < key(70.0, 4)  # sooner
    assert key(70.0, 9) < key(70.0, 4)  # more to do
    assert key(5.0, 1) < key(40.0, 9)  # overdue
    assert policy.order(Call(fair_start=3.0), view).key == (0.0, 3.0)


def test_saga_takes_the_quickest_engine_s_time_for_a_program_without_history() -> None:
    fleet = [Engine("slow", decode=0.04), Engine("quick", decode=0.01)]
    program = Program("p", deadline=50.0, expected_calls=5)
    order = parse_policy("saga").order(Call(program), View(fleet))
    assert order.key == pytest.approx((-5 * 100 * 0.01 / 50, 0.0))


def test_saga_keeps_claims_for_the_tool_s_time_less_when_memory_is_full() -> None:
    view = View(profiles=profiles(3.0, [5], 400))  # the prior of 2.4 s is forgotten
    program = Program("p", "agent", tool="grep", calls=3)
    for claims, seconds in ((7000, 3.0), (8000, 2.25), (9000, 1.5)):
        retention = parse_policy("saga").retain(program, Engine(claims=claims), view)
        assert retention.seconds == pytest.approx(seconds, rel=0.01)
    assert parse_policy("saga(ttl_max=1)").retain(program, Engine(), view).seconds == 1


def test_saga_gives_up_old_unlikely_and_large_claims_first() -> None:
    policy, engine = parse_policy("saga"), Engine()

    def rank(now: float = 0.0, calls: int = 3, context: int = 2000) -> float:
        program = Program("p", expected_calls=5, calls=calls, context=context, computed=3000)
        return policy.retain(program, engine, View(now=now)).rank

    # P_reuse is 2000 / (2000 + 1000), so the score is 0.5 / 3 + 0.2 x 0.2.
    assert rank() == pytest.approx(-0.5 / 3 - 0.04)
    assert rank(now=300.0) - rank() == pytest.approx(0.3)  # younger by ttl_max: 0.3 less score
    assert rank(calls=5) == pytest.approx(-0.5 - 0.04)  # it was the last call
    assert rank(context=4000) == pytest.approx(-0.5 / 5 - 0.08)


def test_saga_believes_the_number_of_calls_after_thirty_programs() -> None:
    policy: Any = parse_policy("saga")
    program = Program("p", "agent", calls=2, context=1000, computed=0)
    # Of those that made two calls, half made a third.
    for times, chance in ((24, 0.5), (36, 2 / 3)):
        view = View(profiles=profiles(1.0, [2, 4, 4], times))
        assert policy.chance(program, view) == pytest.approx(chance, abs=0.02)


def test_saga_knows_tools_by_their_kind_before_it_has_seen_them() -> None:
    program = Program("p", tool="web_search")
    retention = parse_policy("saga").retain(program, Engine(), View())
    assert retention.seconds == pytest.approx(4.5)
    assert isinstance(View().profiles.tool("", "web_search"), Distribution)


def test_weft_orders_calls_of_a_batch_by_rank_and_behind_programs_with_less_work() -> None:
    policy, view = parse_policy("weft"), View()
    home = view.engines[0]
    whole = at(home, "batch", expected_calls=100, calls=90)

    def key(program: Program, rank: tuple[int, ...] = ()) -> tuple[float, ...]:
        return policy.order(Call(program, rank=rank), view).key

    assert key(whole, (0, 1)) < key(whole, (0, 1, 5)) < key(whole, (0, 2)) < key(whole, (1,))
    whole.calls = 99
    assert key(whole, (0, 0)) < key(whole, (0, 1))
    assert key(Program("few", expected_calls=5)) < key(whole, (0, 0))
    assert key(whole, (9, 9)) < key(Program("many", expected_calls=500))
