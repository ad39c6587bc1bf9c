"""Policies that let nobody in: calls start all the same, and only where nothing else is to come."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from dispatcher_world import World
from weft import Pool, Prompt, generate
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import EngineUnavailable
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View


@dataclass
class Doors:
    """Whether the policy lets calls in, how long it keeps room, and when calls are overdue."""

    shut: bool = True
    keeps: float = 0.0
    overdue: float | None = None


@dataclass(frozen=True)
class Doorkeeper(Policy):
    """Lets a call in while its doors are open, or one program at a time."""

    doors: Doors = field(default_factory=Doors)
    single: bool = False

    def __post_init__(self) -> None:
        """None of its fields are parameters."""

    def place(self, call: CallView, view: View) -> Placement:
        return Placement(min(view.engines, key=lambda engine: engine.in_flight), "the emptiest")

    def order(self, call: CallView, view: View) -> Order:
        wait = self.doors.overdue
        return Order(
            (-call.arrival,), "the last first", None if wait is None else call.since + wait
        )

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        alone = not self.single or call.program.resident or not engine.programs
        return Admission(alone and not self.doors.shut, "the doors are shut")

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        return Retention(self.doors.keeps, "as the doors say")


def arrival(world: World, doors: Doors) -> None:
    doors.shut = True


def end(world: World, doors: Doors) -> None:
    running = world.ask("first")
    doors.shut = True
    world.end(running)


def cancel(world: World, doors: Doors) -> None:
    running = world.ask("first")
    doors.shut = True
    gone = world.ask("second")
    world.end(running, done=False)
    world.dispatcher.leave(world.tickets[gone])


def death(world: World, doors: Doors) -> None:
    running = world.ask("first")
    doors.shut = True
    home = next(r for r in world.replicas if r.name == world.engine_of(running))
    assert not world.dispatcher.roster.take_out(home, EngineUnavailable("gone"))
    world.end(running, done=False)


def timer(world: World, doors: Doors) -> None:
    doors.keeps = 5.0
    running = world.ask("first")
    world.end(running)
    doors.shut = True
    world.wait(5.0)


@pytest.mark.parametrize("path", [arrival, end, cancel, death, timer])
def test_calls_start_in_the_order_of_arrival_when_nothing_else_is_to_come(
    path: Callable[[World, Doors], None], caplog: pytest.LogCaptureFixture
) -> None:
    doors = Doors(shut=False)
    world = World(Doorkeeper(doors), engines=2, concurrency=1)
    path(world, doors)
    names = [world.ask(f"p{i}") for i in range(5)]
    with caplog.at_level(logging.WARNING, "weft"):
        world.wait(29.0)
        assert world.running == []
        world.wait(5.0)
        assert world.running[0] == names[0], "first come, first served"
        for name in names:
            assert name in world.running
            assert (
                "policy Doorkeeper let nobody in though no call ran" in world.tickets[name].reason
            )
            world.check()
            world.end(name)
        world.ask("late")
        world.wait(40.0)
    assert world.running, "a call that comes later waits as long"
    assert world.dispatcher.counters.unanswered["admit"] == 6
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("policy Doorkeeper let no call start for 30 s (the doors are shut)")
    assert __file__ in told


def test_nothing_is_forced_while_something_is_to_come() -> None:
    doors = Doors(shut=False, keeps=100.0)
    world = World(Doorkeeper(doors), lease=300.0)
    running = world.ask("a")
    doors.shut = True
    world.ask("b")
    world.wait(200.0)
    assert world.running == [running], "a call runs"
    world.end(running)
    world.wait(90.0)
    assert world.running == [], "a claim ends by itself"
    doors.shut = False
    world.wait(15.0)
    assert world.running, "the policy was asked again when it did"
    assert not any(world.dispatcher.counters.unanswered.values())


def test_calls_that_become_overdue_wait_for_that() -> None:
    world = World(Doorkeeper(Doors(overdue=500.0)))
    name = world.ask("a")
    world.wait(499.0)
    assert world.running == []
    world.wait(2.0)
    assert world.running == [name]
    assert world.dispatcher.counters.forced == 1
    assert not any(world.dispatcher.counters.unanswered.values())


def test_without_a_time_calls_wait_for_ever() -> None:
    world = World(Doorkeeper(Doors()), standstill=None)
    world.ask("a")
    world.wait(1e5)
    assert world.running == []


def test_a_program_is_not_kept_out_by_a_claim_of_one_that_waits_behind_it() -> None:
    doors = Doors(shut=False, keeps=500.0)
    world = World(Doorkeeper(doors, single=True))
    world.end(world.ask("holder"))
    again = world.ask("holder")
    world.end(again)
    behind = world.ask("other")
    assert world.running == []
    doors.shut = True
    back = world.ask("holder")
    doors.shut = False
    world.wait(0.5)
    assert world.running == []
    world.wait(3.0)
    assert world.running in ([back], [behind])
    world.end(world.running[0])
    world.wait(600.0)
    assert world.running
    assert not any(world.dispatcher.counters.unanswered.values())


async def test_a_pool_answers_though_its_policy_admits_nobody() -> None:
    engine = ScriptedEngine("yes")
    async with Pool(engine, policy=Doorkeeper(Doors()), standstill=0.05) as pool:
        assert (await generate(Prompt.user("Well?"))).text == "yes"
        assert pool.scheduler.counters.unanswered["admit"] == 1
