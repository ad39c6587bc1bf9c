"""Calls that wait for long, engines that go, queues that are left: what it costs, and whom."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from dispatcher_world import World
from weft.errors import EngineUnavailable
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention
from weft.orchestrator.programs.program import Program
from weft.parts.parameters import param


@dataclass(frozen=True)
class Patient(Policy):
    """First come, first served on the emptiest engine; overdue after a while."""

    patience: float = param(10.0, "seconds till a call is overdue")
    firm: bool = param(False, "calls wait for their engine")
    enters: bool = param(True, "whether anybody does")

    def order(self, call, view):
        return Order((call.arrival,), "as they come", view.now + self.patience)

    def place(self, call, view):
        emptiest = min(view.engines, key=lambda e: (not e.has_room(call), e.reserved))
        return Placement(emptiest, "the emptiest", self.firm)

    def admit(self, call, engine, view):
        return Admission(self.enters, "as told")

    def retain(self, program, engine, view):
        return Retention(math.inf, "for ever")


def fleet(world: World):
    return world.dispatcher.fleets["m"]


@pytest.mark.parametrize("engines", [2, 16])
def test_an_overdue_call_takes_one_engine_and_not_the_fleet(engines: int):
    world = World(Patient(), engines=engines, concurrency=8, kv_tokens=1600)
    for i in range(4 * engines):
        world.ask(f"p{i}", 300)
    assert len(world.running) == 4 * engines
    big = world.ask("big", 1500)  # an engine's whole KV, which is never free at once
    world.wait(11)
    small = [world.ask(f"s{i}", 300) for i in range(8 * engines)]
    for name in list(world.running):  # all end one after another, and small ones follow
        world.end(name)
        world.check()
        emptying = [r for r in world.replicas if r.empties_for is not None]
        assert len(emptying) == (big not in world.running)
        lent = 4 if big not in world.running else 0
        assert len(world.running) >= 4 * (engines - 1) - lent
    assert big in world.running
    assert sum(name in world.running for name in small) >= 4 * (engines - 1)


def test_an_overdue_call_goes_to_whichever_engine_has_room_first():
    world = World(Patient(), engines=2, concurrency=8, kv_tokens=1600)
    for i in range(8):
        world.ask(f"p{i}", 350)
    big = world.ask("big", 1500)
    world.wait(11)
    (emptying,) = [r for r in world.replicas if r.empties_for]
    other = next(r for r in world.replicas if r is not emptying)
    waits = world.ask("waits", 350)
    for name in [n for n in world.running if world.engine_of(n) == other.name]:
        fleet(world).common.remove(world.tickets[waits])  # so that nobody follows there
        world.end(name)
        fleet(world).common.put(world.tickets[waits])
    assert big in world.running
    assert world.engine_of(big) == other.name
    # The one that need not have emptied itself takes others in again.
    world.end(next(name for name in world.running if world.engine_of(name) == emptying.name))
    assert world.engine_of(waits) == emptying.name
    world.check()


def test_an_overdue_call_that_leaves_gives_its_engine_back():
    world = World(Patient(), concurrency=8, kv_tokens=1600)
    for i in range(3):
        world.ask(f"p{i}", 300)
    big = world.ask("big", 1500)
    world.wait(11)
    small = world.ask("small", 300)
    assert small not in world.running
    world.dispatcher.leave(world.tickets[big])
    assert small in world.running
    assert fleet(world).waiting == 0
    world.check()


def test_when_the_emptying_engine_dies_another_one_empties_itself():
    world = World(Patient(), engines=2, concurrency=8, kv_tokens=1600)
    for i in range(10):
        world.ask(f"p{i}", 300)
    big = world.ask("big", 1500)
    world.wait(11)
    (emptying,) = [r for r in world.replicas if r.empties_for]
    assert not world.dispatcher.roster.take_out(emptying, EngineUnavailable("gone"))
    (other,) = [r for r in world.replicas if r.empties_for]
    assert other is not emptying
    world.check()
    world.dispatcher.roster.back(emptying)
    assert world.engine_of(big) == emptying.name  # it is empty now
    assert other.empties_for is None
    world.check()


def test_overdue_calls_that_wait_for_one_engine_empty_that_one():
    world = World(Patient(firm=True), engines=2, concurrency=8, kv_tokens=1600)
    for i in range(10):
        world.ask(f"p{i}", 300)
    big = world.ask("big", 1500)
    world.wait(11)
    for name in list(world.running):
        world.end(name)
    assert big in world.running


def test_without_an_engine_all_that_wait_come_back():
    world = World(Patient(), concurrency=8, kv_tokens=1600)
    for i in range(3):
        world.ask(f"p{i}", 300)
    names = {world.ask("big", 1500)}
    world.wait(11)
    names.add(world.ask("small", 300))
    orphans = world.dispatcher.roster.take_out(world.replicas[0], EngineUnavailable("gone"))
    assert {ticket.id for ticket in orphans} == names
    assert fleet(world).waiting == 0


def test_when_an_engine_dies_what_waited_for_it_starts_on_an_idle_one():
    """The next call avoids the engine that failed it, unless no other one is left."""
    world = World("weft", engines=2, concurrency=1)
    first, other = world.ask("a"), world.ask("b")
    failed = world.tickets[first]
    world.running.remove(first)
    world.dispatcher.finish(failed, (), 0, None, done=False, again=True)
    assert failed.replica is not None
    failed.avoid = (failed.replica,)
    started: list[str] = []
    again = world.dispatcher.submit(failed.call, lambda: started.append("again"), failed)
    behind = world.ask("c")
    assert world.running == [other]
    assert fleet(world).waiting == 2
    lost = world.tickets[other].replica
    assert lost is not None
    assert lost is not failed.replica
    world.dispatcher.roster.take_out(lost, EngineUnavailable("gone"))
    assert started == ["again"]
    world.dispatcher.finish(again, (), 1, None, done=True)
    assert behind in world.running


def test_patience_survives_retries():
    """Whatever the policy counts from: a call that comes again has waited already."""
    world = World(Patient(enters=False), engines=2, concurrency=1)
    first = world.tickets[world.ask("a")]
    world.wait(6)
    world.dispatcher.leave(first)
    started: list[float] = []
    again = world.dispatcher.submit(first.call, lambda: started.append(world.now), first)
    assert (again.since, again.arrival, again.overdue) == (0.0, first.arrival, 10.0)
    world.wait(3)
    fleet(world).common.remove(again)
    world.replicas[0].queue.put(again)  # it may wait for an engine that is lost
    world.dispatcher.roster.take_out(world.replicas[0], EngineUnavailable("gone"))
    world.wait(5)
    assert started == [10.0]


def test_who_waits_no_longer_than_so_long_is_overdue_before():
    world = World(Patient(patience=3600.0, enters=False))
    ticket = world.tickets[world.ask("a")]
    world.dispatcher.leave(ticket)
    ticket.call.patience = 150.0
    started: list[float] = []
    world.dispatcher.submit(ticket.call, lambda: started.append(world.now), ticket)
    world.wait(200)
    assert started == [150.0]


def test_a_policy_without_patience_refuses_as_long_as_it_likes():
    world = World(Patient(patience=math.inf, enters=False))
    ticket = world.tickets[world.ask("a")]
    world.dispatcher.leave(ticket)
    ticket.call.patience = 150.0
    world.dispatcher.submit(ticket.call, lambda: None, ticket)
    world.wait(5000)
    assert world.running == []


def test_programs_whose_engine_is_lost_are_forgotten_in_time():
    world = World("fcfs", concurrency=1, lease=60.0)
    for i in range(10):
        world.ask(f"p{i}")
    orphans = world.dispatcher.roster.take_out(world.replicas[0], EngineUnavailable("gone"))
    assert len(orphans) == 9
    for name in list(world.running):
        world.end(name, done=False)
    world.wait(59)
    assert len(world.dispatcher.programs) == 10
    world.wait(2)
    assert world.dispatcher.programs == {}


def test_a_program_that_is_held_is_known_until_its_end():
    world = World("sticky", lease=60.0)
    program = Program("run", "solver", deadline=4000.0, most_calls=9, in_block=True)
    world.dispatcher.begin(program)
    world.end(world.ask("run"))
    assert program.claim
    world.wait(3000)
    assert program.claim == 0  # its room is not held for so long
    world.ask("run")
    assert world.dispatcher.programs["run"] is program
    assert (program.calls, program.running) == (1, 1)
    world.end("run.1")
    world.dispatcher.end("run")
    assert world.dispatcher.programs == {}
    world.wait(1000)
    assert world.timers == []


def test_an_engine_that_is_taken_out_ends_what_it_runs_and_is_nobodys_home():
    world = World("sticky", engines=2, concurrency=2)
    first = world.ask("a")
    home = world.tickets[first].replica
    assert home is not None
    claims = next(r for r in world.replicas if r is not home)
    world.end(world.ask("b"))
    assert world.dispatcher.programs["b"].home is claims
    index = home.index
    assert world.dispatcher.roster.remove(home) == []
    assert home.error is None
    assert home.index is index  # what runs there still has its cache
    world.end(first)
    assert home.in_flight == home.reserved == home.attached == 0
    world.dispatcher.roster.remove(claims)
    released = [d for d in world.log if d.kind == "release"]
    assert [(d.program, d.reason) for d in released] == [
        ("b", "its engine was taken out of service")
    ]
    assert world.dispatcher.programs["b"].home is None
    with pytest.raises(EngineUnavailable, match=r"no engine that serves 'm' is left$"):
        world.ask("a")


@pytest.mark.parametrize("engines", [1, 64])
def test_leaving_a_queue_asks_little_whatever_the_number_of_engines(engines: int):
    world = World("weft", engines=engines, concurrency=1, kv_tokens=16000)
    names = [world.ask("a") for _ in range(engines + 100)]
    waiting = [n for n in names if world.tickets[n].queue is not None]
    assert len(waiting) == 100
    before = world.dispatcher.counters.decisions
    for name in waiting:
        world.dispatcher.leave(world.tickets[name])
    assert world.dispatcher.counters.decisions == before  # no engine has a slot
    world.check()


def test_leaving_a_queue_of_refused_calls_asks_once_for_each():
    world = World(Patient(enters=False), engines=64)
    names = [world.ask("a") for _ in range(100)]
    before = world.dispatcher.counters.decisions
    for name in names[:-1]:
        world.dispatcher.leave(world.tickets[name])
    assert world.dispatcher.counters.decisions - before <= 2 * 99
