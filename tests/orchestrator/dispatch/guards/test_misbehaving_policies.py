"""Policies that raise, lie and stall: at each decision, whatever the scheduler asks it for."""

# Policies that give what no type allows are what is tried here.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
from __future__ import annotations

import asyncio
import inspect
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest

from dispatcher_world import World
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import EngineUnavailable
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention
from weft.orchestrator.programs.program import Program

QUESTIONS = ("order", "place", "admit", "retain")


@dataclass(frozen=True)
class Moody(Policy):
    """First come, first served on the emptiest engine, with claims; but it has its moods."""

    moods: dict[str, Callable[..., Any]] = field(default_factory=lambda: {})
    asked: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        """None of its fields are parameters."""

    def _decide(self, question: str, decision: Any, *seen: Any) -> Any:
        self.asked.append(question)
        mood = self.moods.get(question)
        return decision if mood is None else mood(decision, *seen)

    def order(self, call, view):
        return self._decide("order", Order((call.arrival,), "as they come"), call, view)

    def place(self, call, view):
        emptiest = min(view.engines, key=lambda engine: (not engine.has_room(call), engine.claimed))
        return self._decide("place", Placement(emptiest, "the emptiest"), call, view)

    def admit(self, call, engine, view):
        fits = engine.claimed + engine.need(call) <= engine.capacity
        fits = fits or call.program.resident
        return self._decide("admit", Admission(fits, "as it fits"), call, engine, view)

    def retain(self, program, engine, view):
        return self._decide("retain", Retention(30.0, "half a minute"), program, engine, view)


class Odd(BaseException):
    """Nothing that `except Exception` would catch."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Liar(Placement):
    """Its engine changes with each look."""

    @property
    def engine(self) -> Any:
        raise KeyError("engine")

    @engine.setter
    def engine(self, value: Any) -> None: ...


def raising(error: BaseException) -> Callable[..., Any]:
    def mood(*_: Any) -> Any:
        raise error

    return mood


async def _later(decision: Any) -> Any:
    return decision


def deep(*_: Any) -> Any:
    return deep()


OTHER = Replica(ScriptedEngine("", model="m", name="e0"))
RAISED = {
    "error": raising(ZeroDivisionError("division by zero")),
    "base exception": raising(Odd()),
    "cancellation": raising(asyncio.CancelledError()),
    "stop": raising(StopIteration()),
    "exit": raising(SystemExit(3)),
    "unprintable": raising(Unprintable()),
    "recursion": deep,
    "none": lambda *_: None,
    "tuple": lambda *_: (True, "as it fits", None),
    "async": lambda decision, *_: _later(decision),
    "class": lambda decision, *_: type(decision),
}
"""What can go wrong at any decision."""

LIES: dict[str, dict[str, Callable[..., Any]]] = {
    "order": {
        "nan": lambda *_: Order((math.nan,), ""),
        "mixed": lambda _, call, __: Order((1, "a") if call.arrival % 2 else ("a", 1), ""),
        "nested": lambda *_: Order(((1,),), ""),
        "list": lambda *_: Order([1.0], ""),
        "no key": lambda *_: Order(None, ""),
        "complex": lambda *_: Order((1j,), ""),
        "overdue nan": lambda *_: Order((), "", math.nan),
        "overdue text": lambda *_: Order((), "", "soon"),
        "overdue huge": lambda *_: Order((), "", 10**400),
        "no reason": lambda *_: Order((), None),
    },
    "place": {
        "none": lambda *_: Placement(None, ""),
        "name": lambda *_: Placement("e0", ""),
        "other engine": lambda *_: Placement(OTHER, ""),
        "liar": lambda *_: Liar(None, ""),
        "no reason": lambda decision, *_: Placement(decision.engine, None),
        "firm": lambda decision, *_: Placement(decision.engine, "", "yes"),
    },
    "admit": {
        "none": lambda *_: Admission(None, ""),
        "text": lambda *_: Admission("no", ""),
        "own": lambda _, call, *__: Admission(False, "", call.program),
        "stranger": lambda *_: Admission(False, "", Program("stranger", claim=1)),
        "name": lambda *_: Admission(False, "", "a"),
        "no reason": lambda *_: Admission(False, None),
        "again nan": lambda *_: Admission(False, "", again=math.nan),
        "again text": lambda *_: Admission(False, "", again="soon"),
    },
    "retain": {
        "nan": lambda *_: Retention(math.nan, ""),
        "text": lambda *_: Retention("long", ""),
        "none": lambda *_: Retention(None, ""),
        "huge": lambda *_: Retention(10**400, ""),
        "rank nan": lambda *_: Retention(9.0, "", math.nan),
        "rank text": lambda *_: Retention(9.0, "", "high"),
        "no reason": lambda *_: Retention(9.0, None),
    },
}

FAULTS = [
    pytest.param(question, mood, id=f"{question}-{name}")
    for question in QUESTIONS
    for name, mood in [*RAISED.items(), *LIES[question].items()]
]


@dataclass(frozen=True)
class Small:
    """A world where something may happen: two calls run, one program has a claim, two wait.

    The claim is in their way on one engine; the other one runs all that it can.
    """

    world: World
    policy: Moody

    @classmethod
    def made(cls, event: str) -> Small:
        policy = Moody()
        world = World(policy, engines=2, concurrency=2, kv_tokens=800)
        world.end(world.ask("claims", 500))
        for name in ("one", "two"):
            world.ask(name, 100)
        for name in ("three", "four") if event != "first_arrival" else ():
            world.ask(name, 400)
            assert world.tickets[f"{name}.{len(world.tickets) - 1}"].queue
        assert len(world.running) == 2
        assert world.dispatcher.programs["claims"].claim
        return cls(world, policy)

    def arrival(self) -> None:
        self.world.ask("five", 50)

    first_arrival = arrival

    def end(self) -> None:
        self.world.end(self.world.running[0])

    def timer(self) -> None:
        for name in list(self.world.running):
            self.world.end(name)
        self.world.wait(31)

    def cancel(self) -> None:
        ticket = self._waiting()[0]
        del self.world.tickets[ticket.id]
        self.world.dispatcher.leave(ticket)

    def _waiting(self) -> list[Ticket]:
        return [ticket for ticket in self.world.tickets.values() if ticket.queue is not None]

    def death(self) -> None:
        home = self.world.replicas[1]
        self.world.ask("five", 50, only=home.name)
        ticket = self._waiting()[-1]
        ticket.call.only = ()  # it would rather wait there, but could run elsewhere
        assert not self.world.dispatcher.roster.take_out(home, EngineUnavailable("gone"))
        for name in list(self.world.running):
            self.world.end(name, done=False)

    def removal(self) -> None:
        assert not self.world.dispatcher.roster.remove(self.world.replicas[0])

    def goodbye(self) -> None:
        self.end()
        self.world.dispatcher.end("claims")

    def runs_out(self) -> None:
        """Everything ends, and nothing is left behind."""
        world = self.world
        world.check()
        for _ in range(20):
            for name in list(world.running):
                world.end(name)
            world.wait(31)
            world.check()
        assert all(ticket.replica is not None for ticket in world.tickets.values())
        for program in list(world.dispatcher.programs):
            world.dispatcher.end(program)
        for replica in world.replicas:
            assert replica.in_flight == replica.reserved == replica.claimed == replica.programs == 0
        assert world.dispatcher.fleets["m"].waiting == 0


EVENTS = ["arrival", "first_arrival", "end", "timer", "cancel", "death", "removal", "goodbye"]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(("question", "mood"), FAULTS)
def test_a_fault_of_a_decision_stops_nobody(question: str, mood: Any, event: str):
    small = Small.made(event)
    small.policy.moods[question] = mood
    small.policy.asked.clear()
    getattr(small, event)()
    counters = small.world.dispatcher.counters
    told = counters.unanswered[question]
    assert told == small.policy.asked.count(question)
    assert sum(counters.unanswered.values()) == told
    small.runs_out()


@pytest.mark.parametrize(
    ("event", "questions"),
    [
        ("arrival", {"order", "place"}),
        ("first_arrival", {"order", "place", "admit"}),
        ("end", {"retain", "place", "admit"}),
        ("timer", {"retain", "place", "admit"}),
        ("cancel", {"place", "admit"}),
        ("death", {"order", "place"}),
        ("removal", set()),
        ("goodbye", {"retain", "place", "admit"}),
    ],
)
def test_each_event_asks_for_decisions(event: str, questions: set[str]):
    """The matrix above tries what it says."""
    small = Small.made(event)
    small.policy.asked.clear()
    getattr(small, event)()
    assert questions <= set(small.policy.asked)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_who_interrupts_the_process_is_heard_and_all_is_counted(question: str, event: str):
    """As `KeyboardInterrupt` passes, no call is left that nobody would end."""
    small = Small.made(event)
    small.policy.moods[question] = raising(KeyboardInterrupt())
    small.policy.asked.clear()
    before = set(small.world.tickets)
    heard = False
    try:
        getattr(small, event)()
    except KeyboardInterrupt:
        heard = True
    assert heard is (question in small.policy.asked)
    small.policy.moods.clear()
    if "arrival" in event and question in ("order", "place"):
        assert set(small.world.tickets) == before
        assert small.world.dispatcher.programs["five"].waiting == 0
        assert small.world.dispatcher.programs["five"].acting is not None
    if event != "death":  # some of its calls were not placed anew yet
        small.world.check()


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_stall_is_met_a_few_times_only(question: str, event: str):
    small = Small.made(event)
    stalls: list[Any] = []

    def stall(decision: Any, *_: Any) -> Any:
        stalls.append(decision)
        time.sleep(0.001)
        return decision

    small.policy.moods[question] = stall
    getattr(small, event)()
    assert len(stalls) <= 4
    assert not any(small.world.dispatcher.counters.unanswered.values())


def test_a_stall_is_told(monkeypatch, caplog):
    monkeypatch.setattr("weft.orchestrator.dispatch.guards.guarded_policy._STALL", 0.0)
    world = World(Moody())
    with caplog.at_level(logging.WARNING, "weft"):
        for _ in range(3):
            world.end(world.ask("a"))
    told = [record.getMessage() for record in caplog.records]
    assert [text.split(" to ")[1].split(",")[0] for text in told] == list(QUESTIONS)
    assert all(text.startswith("policy Moody took ") and __file__ in text for text in told)


def test_the_plain_way_is_least_loaded_and_first_come():
    policy = Moody({q: raising(ZeroDivisionError()) for q in QUESTIONS})
    world = World(policy, engines=3, concurrency=2)
    names = [world.ask(f"p{i}") for i in range(9)]
    assert [world.engine_of(name) for name in names[:6]] == ["e0", "e1", "e2"] * 2
    for name in names:
        assert name in world.running
        assert "policy Moody gave no answer (ZeroDivisionError)" in world.tickets[name].reason
        world.end(name)
    assert world.running == []
    assert all(program.claim == 0 for program in world.dispatcher.programs.values())


def test_the_plain_way_leaves_engines_that_drain_alone():
    world = World(Moody({"place": raising(ZeroDivisionError())}), engines=2)
    world.dispatcher.roster.drain(world.replicas[0])
    assert world.engine_of(world.ask("a")) == "e1"


def test_only_the_engine_that_alone_can_run_a_call_is_plain_for_it():
    world = World(Moody({"place": raising(ZeroDivisionError())}), engines=2, concurrency=1)
    first, second = world.ask("a", only="e1"), world.ask("b", only="e1")
    assert world.engine_of(first) == "e1"
    assert world.running == [first]
    world.end(first)
    assert world.engine_of(second) == "e1"


def test_errors_are_logged_once_with_the_users_line(caplog):
    def broken(*_: Any) -> Any:
        return max([])

    line = inspect.getsourcelines(broken)[1] + 1
    policy = Moody({"place": broken, "retain": lambda *_: None})
    world = World(policy)
    with caplog.at_level(logging.WARNING, "weft"):
        for _ in range(3):
            world.end(world.ask("a"))
    assert len(caplog.records) == 2
    placed, retained = (record.getMessage() for record in caplog.records)
    assert "policy Moody failed to place" in placed
    assert "ValueError: max()" in placed
    assert f"{__file__}:{line}" in placed
    assert "it returned None, not a Retention" in retained
    assert f"{__file__}:{inspect.getsourcelines(Moody.retain)[1]}" in retained
    assert world.dispatcher.counters.unanswered == {
        "admit": 0, "order": 0, "place": 3, "retain": 3,
    }  # fmt: skip


def test_a_method_of_other_arguments_is_named_by_its_own_line(caplog):
    class Short(Moody):
        def place(self, call):
            raise AssertionError

    world = World(Short())
    with caplog.at_level(logging.WARNING, "weft"):
        assert world.ask("a") in world.running
    said = caplog.records[0].getMessage()
    assert "TypeError" in said
    assert f"{__file__}:{inspect.getsourcelines(Short.place)[1]}" in said


def test_displacing_without_end_comes_to_an_end():
    """Each claim is displaced once, and then the call takes the plain way."""
    displaced: list[Program] = []

    def greedy(_: Any, call: Any, engine: Any, view: Any) -> Admission:
        displaced.append(engine.weakest or call.program)
        return Admission(False, "never enough", displaced[-1])

    policy = Moody()
    world = World(policy, concurrency=8, kv_tokens=16000)
    for i in range(5):
        world.end(world.ask(f"p{i}"))
    policy.moods["admit"] = greedy
    last = world.ask("last")
    assert world.running == [last]
    assert [p.id for p in displaced] == ["p0", "p1", "p2", "p3", "p4", "last"]
    assert world.dispatcher.counters.revoked == 5
    assert world.dispatcher.counters.unanswered["admit"] == 1


def test_claims_elsewhere_are_not_displaced():
    policy = Moody()
    world = World(policy, engines=2)
    world.end(world.ask("a"))
    program = world.dispatcher.programs["a"]
    home = program.home
    policy.moods["place"] = lambda _, call, view: Placement(
        next(e for e in view.engines if e is not home), "elsewhere"
    )
    policy.moods["admit"] = lambda *_: Admission(False, "", program)
    assert world.ask("b") in world.running
    assert program.claim


def run_the_last_first(world: World) -> None:
    """Of three calls, by three programs, the policy is to start the last before the second."""
    first, second, third = world.ask("a"), world.ask("b"), world.ask("c")
    world.end(first)
    assert world.running == [third]
    world.end(third)
    assert world.running == [second]
    assert not any(world.dispatcher.counters.unanswered.values())


def test_numbers_of_other_kinds_are_numbers():
    policy = Moody(
        {
            "order": lambda _, call, __: Order((Fraction(-call.arrival, 2), True), "", 10),
            "retain": lambda *_: Retention(-math.inf, "", Fraction(1, 2)),
        }
    )
    world = World(policy, concurrency=1)
    run_the_last_first(world)
    assert world.dispatcher.programs["a"].claim == 0


def test_a_key_may_have_integers_that_no_float_holds():
    huge = 10**400
    policy = Moody({"order": lambda _, call, __: Order((-huge, -call.arrival, 0.5), "")})
    world = World(policy, concurrency=1)
    run_the_last_first(world)


def test_an_answer_that_is_changed_later_changes_nothing():
    kept = Order((1.0,), "kept")

    def order(_: Any, call: Any, view: Any) -> Order:
        kept.key, kept.overdue = (float(call.arrival),), None
        return kept

    world = World(Moody({"order": order}), concurrency=1)
    names = [world.ask(f"p{i}") for i in range(4)]
    kept.key, kept.overdue = ("a",), math.nan
    for name in names:
        assert world.running == [name]
        world.end(name)


def test_what_every_policy_inherits_is_changed_for_nobody_else():
    def admit(decision: Any, call: Any, engine: Any, view: Any) -> Admission:
        inherited = Policy.admit(policy, call, engine, view)
        inherited.enter, inherited.reason = False, "not now"
        return inherited

    policy = Moody({"admit": admit})
    for mine, running in ((policy, 0), ("fcfs", 1)):
        world = World(mine)
        world.ask("a")
        assert len(world.running) == running


def test_reasons_can_be_written_everywhere():
    """In logs, in UTF-8, and at a bearable length."""
    long = "\ud800" * 100_000
    policy = Moody(
        {
            "place": lambda decision, *_: Placement(decision.engine, long),
            "admit": lambda *_: Admission(True, long),
            "order": lambda *_: Order((), long),
            "retain": lambda *_: Retention(0.0, long),
        }
    )
    world = World(policy, concurrency=1)
    first = world.ask("a")
    world.ask("b")
    world.end(first)
    reasons = [decision.reason for decision in world.log]
    assert max(map(len, reasons)) < 3000  # a call's reason is that of its order and its placement
    assert all(reason.encode("utf-8") for reason in reasons)


def test_the_view_gives_no_list_that_could_be_changed():
    def greedy(decision: Any, call: Any, view: Any) -> Any:
        view.engines.clear()
        return decision

    world = World(Moody({"place": greedy}), engines=2)
    assert world.ask("a") in world.running
    assert len(world.dispatcher.fleets["m"].engines) == 2


def test_observers_that_fail_are_their_own_problem(caplog):
    world = World("sticky", concurrency=1)
    told: list[str] = []

    def broken(decision: Any) -> None:
        told.append(decision.kind)
        raise ValueError("full")

    def gone(program: Program, reason: str) -> None:
        raise OSError("away")

    failing = World("sticky", concurrency=1, observe=broken, ended=gone)
    with caplog.at_level(logging.WARNING, "weft"):
        for each in (world, failing):
            first, second = each.ask("a"), each.ask("b")
            each.end(first)
            each.end(second)
            each.dispatcher.end("a")
            each.check()
    assert told == [decision.kind for decision in world.log]
    assert [record.getMessage().split(" failed")[0] for record in caplog.records] == [
        "`observe`",
        "`ended`",
    ]
    assert __file__ in caplog.text
