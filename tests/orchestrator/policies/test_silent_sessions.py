"""Sessions of a service end without a word: no shipped policy may have others wait for those."""

import math

import pytest

from dispatcher_world import World
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.policy import policies
from weft.orchestrator.programs.program import Program

SPECS = [*sorted(set(policies()) - {"cap"}), "cap(k=1)", "cap(k=3)", "thunderagent(variant=dynamo)"]
LONGEST = 300.0  # seconds that a service has calls wait for, by default


class Town(World):
    """Clients of a service, of which each call takes a second."""

    def serve(self, until: float) -> None:
        """Let calls run, each for a second, until a time; the last ones run on."""
        while self.now < until:
            self.wait(1.0)
            for name in list(self.running):
                if self.now - self.tickets[name].bound_at >= 1.0:
                    self.end(name)


@pytest.mark.parametrize("spec", SPECS)
def test_more_silent_sessions_than_places(spec: str) -> None:
    world = Town(spec, 2, concurrency=4, kv_tokens=1600)
    asked = {world.ask(f"p{i}", 320): i for i in range(24)}
    world.serve(2.0)
    for i in range(6):  # a few come back
        if not world.dispatcher.programs[f"p{i}"].running:
            asked[world.ask(f"p{i}", 340)] = i
    world.serve(LONGEST)
    waiting = [name for name in asked if not world.tickets[name].engine]
    assert not waiting
    world.check()


@pytest.mark.parametrize("spec", SPECS)
def test_a_session_that_is_busy_does_not_make_the_room_of_silent_ones_last(spec: str) -> None:
    world = Town(spec, 1, concurrency=4, kv_tokens=1600)
    busy = world.ask("busy", 100)
    for i in range(8):
        world.ask(f"p{i}", 320)
    while world.now < LONGEST:
        world.serve(world.now + 1.0)
        if world.tickets[busy].engine and busy not in world.running:  # a second later, again
            busy = world.ask("busy", 100)
    assert all(t.engine for name, t in world.tickets.items() if name != busy)


def test_a_silent_program_counts_as_ended_when_that_is_more_likely() -> None:
    known, program = Profiles(), Program("p", "agent", silent=True, calls=2, tool="grep")
    assert known.gone_after(Program("p", "agent", calls=2)) == math.inf
    for i in range(100):
        known.learn_tool("agent", "grep", float(i % 10 + 1))
    # Of ten programs nine go on after two calls: when eight of the nine are back, it is even.
    for i in range(100):
        known.learn_calls("agent", 2 if i % 10 == 0 else 40)
    assert known.gone_after(program) == pytest.approx(known.away(program).quantile(8 / 9), rel=0.05)
    for _ in range(400):
        known.learn_calls("agent", 2)
    assert known.gone_after(program) <= 1.0  # hardly any goes on


def test_no_experience_of_ends_keeps_a_place_for_long() -> None:
    known, program = Profiles(), Program("p", "agent", silent=True, calls=1)
    for _ in range(50):
        known.learn_return("agent", True)
    prior = known.away(program)
    assert known.gone_after(program) == pytest.approx(prior.quantile(0.95))
    assert known.gone_after(program) < LONGEST / 5


def test_a_place_that_is_given_up_is_had_again_and_teaches_nothing_of_ends() -> None:
    world = Town("cap(k=1)", 1, concurrency=4, kv_tokens=16_000)
    world.ask("long", 160)
    world.serve(2.0)
    other = world.ask("other", 160)
    world.serve(100.0)
    assert world.tickets[other].engine
    assert world.profiles.calls("") is None
    assert world.profiles.returns("") == 1.0
    back = world.ask("long", 200)
    world.serve(200.0)
    assert world.tickets[back].engine
