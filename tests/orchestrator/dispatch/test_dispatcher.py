"""The scheduler's synchronous heart, with a clock and timers that the test turns."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatcher_world import World
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import ContextExceeded, EngineUnavailable
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.policy import (
    Admission,
    Order,
    Placement,
    Policy,
    Retention,
    policies,
)
from weft.parts.parameters import param
from weft.types import Message, Request


@dataclass(frozen=True)
class Keeping(Policy):
    """First come, first served to the first engine; claims for some seconds."""

    seconds: float = param(30.0, "of a claim")
    patience: float = param(math.inf, "until a call is overdue")

    def order(self, call, view):
        key = (not call.program.resident, call.program.arrived)
        return Order(key, "resident programs first, by age", view.now + self.patience)

    def place(self, call, view):
        return Placement(call.program.home or view.engines[0], "the first")

    def admit(self, call, engine, view):
        fits = engine.claimed + engine.need(call) <= engine.capacity
        return Admission(call.program.resident or fits, "room" if fits else "no room")

    def retain(self, program, engine, view):
        return Retention(self.seconds, "as told", rank=program.arrived)


def test_a_claim_keeps_room_until_its_time_is_up():
    world = World(Keeping(), kv_tokens=400)
    world.end(world.ask("a"))
    program = world.dispatcher.programs["a"]
    assert program.claim == 176
    assert program.acting == 0.0
    late = world.ask("b", 300)
    assert world.running == []
    world.wait(29)
    assert world.running == []
    world.wait(2)
    assert world.running == [late]
    assert program.claim == 0
    reasons = [d.reason for d in world.log if d.program == "a" and d.kind in ("retain", "release")]
    assert [
        reason.endswith(end) for reason, end in zip(reasons, ("as told", "time is up"), strict=True)
    ]


@dataclass(frozen=True)
class Later(Keeping):
    """Lets in who has waited for ten seconds, and asks to be asked again then."""

    def admit(self, call, engine, view):
        due = call.since + 10
        return Admission(view.now >= due, "not yet", again=due)


def test_a_policy_is_asked_again_when_it_says_so():
    world = World(Later(), concurrency=2)
    first = world.ask("a")
    world.wait(4)
    second = world.ask("b")
    world.wait(5)
    assert world.running == []
    assert len(world.timers) <= 3  # a date for each of them at most, and one for leases
    world.wait(1)
    assert world.running == [first]
    world.wait(3)
    assert world.running == [first]
    world.wait(1)
    assert world.running == [first, second]


@pytest.mark.parametrize("due", [math.inf, -math.inf, 0.0])
def test_a_time_that_never_comes_or_is_over_is_not_waited_for(due: float):
    class Never(Later):
        def admit(self, call, engine, view):
            return Admission(call.program.id == "b", "not yet", again=due)

    world = World(Never(), concurrency=2)
    world.ask("a")
    before = len(world.timers)
    world.ask("b")
    world.wait(5)
    assert len(world.timers) <= before + 1


def test_claims_that_are_taken_up_again_leave_no_timer_behind():
    world = World(Keeping(), kv_tokens=16000)
    for _ in range(20):
        world.end(world.ask("a"))
        world.wait(1)
    world.wait(28)
    assert world.dispatcher.programs["a"].claim
    assert len(world.timers) <= 2  # one for claims, one for the lease
    world.wait(2)
    assert not world.dispatcher.programs["a"].claim


def test_of_several_claims_each_goes_at_its_time():
    world = World(Keeping(), kv_tokens=16000)
    ends = {}
    for i, name in enumerate("abcd"):
        world.end(world.ask(name))
        ends[name] = 30.0 + 3 * i
        world.wait(3)
    world.end(world.ask("b"))
    ends["b"] = 42.0
    world.wait(100)
    released = {d.program: d.at for d in world.log if d.kind == "release"}
    assert released == ends


def test_a_program_with_a_claim_enters_beside_those_that_wait():
    world = World(Keeping(), kv_tokens=400)
    world.end(world.ask("a"))
    world.ask("b", 300)
    again = world.ask("a", 200)
    assert world.running == [again]
    assert world.replicas[0].claimed == world.replicas[0].reserved > 0


def test_the_end_of_a_program_frees_its_room_at_once():
    world = World(Keeping(seconds=math.inf), kv_tokens=400)
    world.end(world.ask("a"))
    late = world.ask("b", 300)
    world.dispatcher.end("a")
    assert world.running == [late]
    assert "a" not in world.dispatcher.programs


def test_a_program_that_never_says_goodbye_is_let_go_after_its_lease():
    world = World(Keeping(seconds=math.inf), kv_tokens=400)
    world.end(world.ask("a"))
    world.wait(500)
    world.end(world.ask("a"))  # a sign of life renews the lease
    world.wait(500)
    assert "a" in world.dispatcher.programs
    late = world.ask("b", 300)
    world.wait(101)
    assert "a" not in world.dispatcher.programs
    assert world.running == [late]


def test_a_displaced_claim_is_revoked_and_the_policy_asked_again():
    @dataclass(frozen=True)
    class Pushing(Keeping):
        def admit(self, call, engine, view):
            entry = super().admit(call, engine, view)
            return entry if entry.enter else Admission(False, "push", engine.weakest)

    world = World(Pushing(), kv_tokens=400)
    for name in ("a", "b"):
        world.end(world.ask(name, 100))
        world.now += 1
    world.ask("c", 200)
    assert world.running == ["c.2"]
    assert world.dispatcher.programs["a"].claim == 0  # the lowest rank yields
    assert world.dispatcher.programs["b"].claim > 0
    assert world.dispatcher.counters.revoked == 1


def test_an_overdue_call_goes_first_and_empties_the_engine_for_itself():
    world = World(Keeping(seconds=0, patience=10), kv_tokens=400, concurrency=8)
    first = world.ask("a", 160)
    big = world.ask("big", 380, answer=4)
    world.now = 1.0
    world.end(first)
    second = world.ask("a", 160)  # `a` came before and so goes before
    assert world.running == [big]
    world.end(big)
    assert world.running == [second]
    huge = world.ask("huge", 380, answer=4)
    world.wait(11)
    small = world.ask("a", 32)
    assert world.running == [second]  # there is room, but the overdue one waits for it all
    world.end(second)
    assert world.running == [huge]
    world.end(huge)
    assert world.running == [small]


def test_cancelling_what_waits_lets_the_next_one_in():
    world = World(Keeping(), kv_tokens=400)
    first = world.ask("a", 200)
    blocked = world.ask("b", 380, answer=4)
    after = world.ask("c", 100)
    assert world.running == [first]
    world.dispatcher.leave(world.tickets[blocked])
    assert world.running == [first, after]


def test_calls_of_one_engine_move_to_others_when_it_dies():
    world = World("sticky", engines=2, concurrency=1)
    a, b = world.ask("a"), world.ask("b")
    assert {world.engine_of(a), world.engine_of(b)} == {"e0", "e1"}
    waits = world.ask("a")
    home = world.tickets[a].replica
    assert home is not None
    assert home.queued == 1
    assert world.dispatcher.roster.take_out(home, EngineUnavailable("gone")) == []
    world.end(a, done=False)
    assert waits not in world.running
    world.end(b)
    assert world.running == [waits]
    assert world.engine_of(waits) != home.name


def test_a_call_that_one_engine_alone_can_run_waits_for_it_and_goes_with_it():
    world = World("fcfs", engines=2, concurrency=1)
    first, second = world.ask("a", only="e1"), world.ask("b", only="e1")
    assert world.engine_of(first) == "e1"
    other = world.ask("c")
    assert world.engine_of(other) == "e0"
    world.end(other)
    assert second not in world.running
    world.end(first)
    assert world.engine_of(second) == "e1"
    third = world.ask("a", only="e1")
    orphans = world.dispatcher.roster.take_out(world.replicas[1], EngineUnavailable("it burned"))
    assert [ticket.id for ticket in orphans] == [third]
    with pytest.raises(EngineUnavailable, match=r"e1, which alone can run .*: it burned"):
        world.ask("a", only="e1")
    assert world.engine_of(world.ask("a")) == "e0"
    world.check()


def test_without_an_engine_left_waiting_calls_come_back():
    world = World("fcfs", concurrency=1)
    running = world.ask("a")
    waiting = world.ask("b")
    orphans = world.dispatcher.roster.take_out(world.replicas[0], EngineUnavailable("it burned"))
    assert [ticket.id for ticket in orphans] == [waiting]
    world.end(running, done=False)
    with pytest.raises(EngineUnavailable, match="it burned"):
        world.ask("c")
    world.dispatcher.roster.back(world.replicas[0])
    assert world.ask("d") in world.running


def test_a_prompt_that_no_engine_can_hold_is_refused_in_a_sentence():
    world = World("fcfs", kv_tokens=400)
    with pytest.raises(ContextExceeded, match=r"1000 tokens does not fit .* holds 400"):
        world.ask("a", 1000)


def test_a_prompt_goes_to_the_engine_that_can_hold_it():
    world = World("round_robin", engines=2)
    big = Replica(ScriptedEngine("", model="m", name="big", kv_tokens=16000))
    fleet = world.dispatcher.fleets["m"]
    fleet.replicas.append(big)
    fleet.refresh()
    names = [world.ask(f"p{i}", 3000) for i in range(3)]
    assert {world.engine_of(name) for name in names} == {"big"}


def test_what_is_learned_reserves_less_than_what_is_allowed():
    world = World("fcfs", kv_tokens=16000)
    for i in range(6):
        world.end(world.ask(f"p{i}", answer=4000))
    ticket = world.tickets[world.ask("p9", answer=4000)]
    assert ticket.answer_tokens == 16


def test_reasons_are_kept_from_coming_to_ending():
    world = World("cap(k=1)", kv_tokens=1600)
    first = world.ask("a")
    second = world.ask("b")
    assert "1" in world.tickets[second].reason
    world.end(first)
    world.dispatcher.end("a")
    kinds = [d.kind for d in world.log if d.call == second]
    assert kinds == ["come", "wait", "start"]
    assert all(d.reason for d in world.log)
    assert [d.engine for d in world.log if d.kind == "start"] == ["e0", "e0"]


def test_a_claim_is_where_the_last_call_ended():
    """A program that ran on two engines keeps room on one, from where it can be taken again."""
    world = World("weft", engines=2, kv_tokens=480)
    first = world.ask("a", 100)
    home = world.tickets[first].replica
    other = next(r for r in world.replicas if r is not home)
    assert home is not None
    world.dispatcher.roster.drain(home)
    home.concurrency = 1
    second = world.ask("a", 100)
    assert world.tickets[second].replica is other
    world.end(second)
    world.end(first)
    program = world.dispatcher.programs["a"]
    assert program.home is home
    assert (home.programs, other.programs) == (1, 0)
    world.dispatcher.claims.release(program, "for room")
    assert program.claim == home.claimed == 0


@pytest.mark.parametrize("policy", sorted(policies()))
def test_a_call_that_some_engines_can_run_goes_to_those_that_are_left(policy):
    world = World(policy, engines=3, concurrency=1)
    some = ("e1", "e2")
    calls = [world.ask(f"p{i}", only=some) for i in range(3)]
    assert {world.engine_of(call) for call in world.running} == set(some)
    (waits,) = set(calls) - set(world.running)
    world.end(world.running[0])
    assert world.engine_of(waits) in some
    later = world.ask("later", only=some)
    for replica in world.replicas[1:]:
        gone = world.dispatcher.roster.take_out(replica, EngineUnavailable("it burned"))
    assert [ticket.id for ticket in gone] == [later]
    with pytest.raises(EngineUnavailable, match=r"e1 or e2, which alone can run .*: it burned"):
        world.ask("another", only=some)


@pytest.mark.parametrize("policy", sorted(policies()))
def test_a_call_waits_for_the_engine_that_can_hold_it_while_that_takes_no_more(policy):
    world = World(policy)
    small = ScriptedEngine("", model="m", name="small", concurrency=2, kv_tokens=400)
    world.dispatcher.roster.add(Replica(small))
    first = world.ask("first", 1000)
    assert world.engine_of(first) == "e0"
    world.dispatcher.gatekeeper.note_used_up(world.tickets[first], 5.0)
    world.end(first)
    world.dispatcher.end("first")
    second = world.ask("second", 1000)
    assert world.running == []
    world.wait(5.0)
    assert world.running == [second]
    assert world.engine_of(second) == "e0"


@given(st.sampled_from(sorted(policies())), st.integers(0, 2**32))
@example("weft", 0)
@example("sticky", 884)  # a branch ends elsewhere than where the program's context lies
@example("adaptive", 4743)  # a program waits behind one that its own claim keeps out
def test_no_policy_loses_a_call_or_leaks_room(name, seed):
    """Whatever comes, ends, is cancelled, dies or recovers: at the end nothing is held."""
    rng = random.Random(seed)
    world = World(name, engines=2, kv_tokens=480)
    submitted: set[str] = set()
    ended: list[str] = []
    for _ in range(rng.randint(5, 60)):
        live = [r for r in world.replicas if r.alive]
        waiting = [n for n, t in world.tickets.items() if t.queue is not None]
        move = rng.choice(["ask", "ask", "ask", "end", "end", "cancel", "kill", "back", "wait"])
        if move == "ask":
            only = rng.choice(["", "", "", *(replica.name for replica in live)])
            submitted.add(world.ask(rng.choice("abcdef"), rng.randint(1, 400), only=only))
        elif move == "end" and world.running:
            call = rng.choice(world.running)
            world.end(call, done=rng.random() < 0.8)
            ended.append(call)
        elif move == "cancel" and waiting:
            call = rng.choice(waiting)
            world.dispatcher.leave(world.tickets[call])
            ended.append(call)
        elif move == "kill" and len(live) == 2:
            gone = world.dispatcher.roster.take_out(rng.choice(live), EngineUnavailable("dead"))
            assert all(ticket.call.only for ticket in gone)
            ended += [ticket.id for ticket in gone]
        elif move == "back" and len(live) == 1:
            world.dispatcher.roster.back(next(r for r in world.replicas if not r.alive))
        elif move == "wait":
            world.wait(rng.choice([0.1, 10.0, 2000.0]))
        assert len(set(world.running)) == len(world.running)
        world.check()
    for _ in range(200):
        if not world.running:
            break
        ended.append(world.running[0])
        world.end(world.running[0])
        world.wait(1)
    world.wait(5000)
    while world.running:
        ended.append(world.running[0])
        world.end(world.running[0])
        world.wait(5000)
    assert sorted(ended) == sorted(submitted)  # each exactly once
    for program in list(world.dispatcher.programs):
        world.dispatcher.end(program)
    for replica in world.replicas:
        assert replica.in_flight == replica.reserved == replica.claimed == replica.programs == 0
    assert world.dispatcher.fleets["m"].waiting == 0


@pytest.mark.parametrize(
    ("prompts", "grows"),
    [
        ([list(range(160 * i)) for i in range(1, 13)], 160),
        # A template rewrites the end of what came before.
        ([[*range(160 * i - 40), *([i] * 40)] for i in range(1, 13)], 160),
        # Small and large prompts by turns, and a conversation that is compacted again and again.
        ([[i] * (1200 if i % 2 else 160) for i in range(12)], 0),
        ([list(range(1200 - 160 * (i % 2))) for i in range(12)], 80),
    ],
)
def test_only_a_prompt_that_goes_on_lets_a_context_grow(prompts: list[list[int]], grows: float):
    world = World("weft", kv_tokens=16_000)
    for number, tokens in enumerate(prompts):
        request = Request(f"r{number}", "m", (Message("user", ""),), tokens=tuple(tokens))
        started = functools.partial(world.running.append, request.id)
        call = Call(request, "p", stage="s")
        world.tickets[request.id] = world.dispatcher.submit(call, started)
        world.end(request.id)
    name = world.dispatcher.programs["p"].name
    assert world.profiles.growth(name, -1.0) == pytest.approx(grows, rel=0.2)
