"""The order of the default policy: deadlines by slack, residents, quorums, then the least work."""

from typing import Any

import pytest

from policy_view import Call, Engine, View, at
from weft.orchestrator.estimates.graphs import Remaining
from weft.orchestrator.policy import Order, parse_policy
from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.program import Program

# A call of 100 tokens at 0.1 s a token takes 10 s.
ENGINE = Engine(decode=0.1)


def resident(id: str = "r", **more: Any) -> Program:
    return at(ENGINE, id, **more)


def order(call: Call, now: float = 100.0) -> Order:
    return parse_policy("weft").order(call, View([ENGINE], now=now))


def due(seconds: float, program: Program | None = None) -> Call:
    """A call that came at 100 s and has so many seconds until its deadline."""
    program = program if program is not None else Program("d")
    return Call(program, since=100.0, deadline=100.0 + seconds)


def test_all_kinds_in_their_order() -> None:
    calls = [
        due(12.0, resident(arrived=9.0)),  # it needs 10 s
        Call(resident(arrived=1.0), since=100.0),
        Call(resident(arrived=2.0), since=90.0),
        due(11.0),
        due(19.0),
        Call(Program("short", expected_calls=1), since=100.0),
        due(21.0, Program("ample", expected_calls=2)),  # it needs less than half of its time
        Call(Program("long", expected_calls=9), since=50.0),
        due(9.9, Program("late", expected_calls=1)),
        due(-5.0, Program("later", expected_calls=2)),
    ]
    orders = [order(call) for call in calls]
    keys = [one.key for one in orders]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert [one.overdue for one in orders] == [call.since + 3600 for call in calls]
    assert orders[3].reason == "to be in time it must start by 101.000"
    assert orders[8].reason.startswith("it can't be in time and yields; ")


def test_a_resident_that_is_late_has_no_precedence_but_is_brought_to_its_end() -> None:
    late = order(due(1.0, resident(arrived=3.0)))
    assert late.key == order(Call(resident(arrived=3.0), since=100.0)).key
    assert order(due(12.0, resident(arrived=9.0))).key < late.key < order(due(11.0)).key


def test_slack_counts_the_whole_critical_path(monkeypatch: pytest.MonkeyPatch) -> None:
    view = View([ENGINE], now=100.0)
    learned = {"chain": 50.0, "single": 10.0}

    def remaining(program: Program) -> Remaining:
        return Remaining(None, None, learned.get(program.name), "runs")

    monkeypatch.setattr(view.profiles, "remaining", remaining)
    policy = parse_policy("weft")
    keys = {
        (name, left): policy.order(due(left, Program(name, name)), view).key
        for name in ("chain", "single", "unknown")
        for left in (15.0, 60.0)
    }
    # Of two with 60 s left only the chain is urgent, and with 15 s it is the only late one.
    assert keys["chain", 60.0] == (0.5, 110.0)
    assert keys["chain", 15.0][0] == 2.0
    assert keys["single", 15.0] == keys["unknown", 15.0] == (0.5, 105.0)
    assert keys["single", 60.0][0] == keys["unknown", 60.0][0] == 1.0


def test_where_a_part_is_enough_the_program_that_needs_least_goes_first() -> None:
    def call(program: Program, quorum: int, ended: int) -> Call:
        return Call(program, since=100.0, group=CallGroup(8, quorum, ended))

    old, young = resident("old", arrived=1.0), resident("young", arrived=2.0)
    alone = order(Call(young, since=100.0))
    keys = [
        order(call(old, 8, 7)).key,  # all are needed: as a call outside of any fan-out
        alone.key,
        order(call(young, 4, 3)).key,
        order(call(old, 4, 2)).key,
        order(call(young, 4, 2)).key,
    ]
    assert keys == sorted(keys)
    assert order(call(young, 4, 9)).key == keys[2]  # it is being left
    assert order(call(young, 4, 3)).reason == "its program is resident and needs 1 results"


def test_children_stand_with_their_parents_generation() -> None:
    parent = resident("parent", arrived=1.0)
    child = Call(Program("child", parent=parent, arrived=1.0), since=100.0)
    assert order(child).key == order(Call(parent, since=100.0)).key
    assert order(child).key < order(Call(resident("other", arrived=1.5), since=99.0)).key
