"""Gates: engines that are paced, in doubt, shut, and raised again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher_world import World
from weft.orchestrator.dispatch.gate import Gate


def busy(world: World, name: str, seconds: float = 5.0, *, again: bool = True) -> None:
    """A running call is told that its engine is busy."""
    world.dispatcher.gatekeeper.note_busy(world.tickets[name], seconds)
    world.running.remove(name)
    world.dispatcher.finish(world.tickets[name], (), 0, None, done=False, again=again)


def test_calls_are_sent_at_even_distances() -> None:
    world = World("fcfs", concurrency=50, kv_tokens=16000)
    world.replicas[0].gate = Gate(50, 4.0)
    for i in range(9):
        world.ask(f"p{i}")
    sent = []
    for _ in range(9):
        sent.append(len(world.running))
        world.wait(0.25)
    assert sent == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    world.wait(10)
    for i in range(3):
        world.ask(f"q{i}")
    assert len(world.running) == 10  # no burst after a pause
    assert "rate" in world.tickets[next(n for n in world.tickets if n.startswith("q1"))].reason


def test_one_busy_answer_is_its_callers_alone() -> None:
    world = World("fcfs", concurrency=4)
    a, b = world.ask("a"), world.ask("b")
    world.wait(1)
    busy(world, a)
    c, d = world.ask("c"), world.ask("d")
    assert world.running == [b, c]  # no more than ran there
    world.end(c)  # sent since, and served
    assert d in world.running
    assert world.replicas[0].concurrency == 4


def test_a_second_one_shuts_the_engine_and_halves_what_it_gets() -> None:
    world = World("fcfs", concurrency=8)
    names = [world.ask(f"p{i}") for i in range(12)]
    world.wait(1)
    for name in names[:4]:  # sent together: still one piece of news
        busy(world, name)
    (replica,) = world.replicas
    assert not replica.gate.shut
    world.wait(0.1)
    (probe,) = [name for name in world.running if name not in names[:8]]
    busy(world, probe, 3.0)
    assert replica.gate.shut
    assert replica.concurrency == 4
    for name in names[4:8]:
        world.end(name)
    assert world.running == []
    world.wait(0.09)
    assert world.running == []
    world.wait(0.02)
    assert len(world.running) == 1  # to see whether it is over
    world.wait(0.1)
    assert len(world.running) == 2  # that may take long
    world.dispatcher.gatekeeper.note_begun(world.tickets[world.running[0]])
    assert len(world.running) == 3
    for _ in range(30):  # raised again, slowly
        world.ask("more")
        world.end(world.running[0])
    assert 4 < replica.concurrency <= 8
    world.check()


def test_it_is_shut_for_longer_each_time_up_to_what_it_says() -> None:
    world = World("fcfs", concurrency=1)
    (replica,) = world.replicas
    busy(world, world.ask("a"), 1.0)
    shut = []
    for i in range(7):
        name = world.ask(f"b{i}")
        began = world.now
        while name not in world.running:
            world.wait(0.05)
        shut.append(round(world.now - began, 2))
        busy(world, name, 1.0)
    assert shut == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0], abs=0.06)
    name = world.ask("c")
    world.wait(1.1)
    world.end(name)
    assert not replica.gate.shut
    world.check()


def test_what_one_sender_alone_is_refused_keeps_nobody_else_away() -> None:
    world = World("fcfs", concurrency=4)

    def refuse() -> None:
        for name in [name for name in world.running if name.startswith("poison")]:
            busy(world, name, 30)

    waited = 0.0
    for i in range(20):
        world.ask("poison", id=f"poison {i}")
        world.ask("poison", id=f"poison {i} again")
        refuse()
        good = world.ask("good", id=f"good {i}")
        while good not in world.running:
            world.wait(0.01)
            waited += 0.01
            refuse()
        world.end(good)
    assert waited < 20 * 0.5
    world.check()


def test_a_call_sent_since_and_answered_opens_it_at_once() -> None:
    world = World("fcfs", concurrency=8)
    names = [world.ask(f"p{i}") for i in range(8)]
    world.wait(1)
    busy(world, names[0], 9)
    for name in names[1:7]:
        world.end(name)
    one, two = world.ask("one"), world.ask("two")
    world.wait(0.05)
    busy(world, one, 9)
    world.wait(0.05)
    waits = world.ask("waits")
    assert waits not in world.running
    world.dispatcher.gatekeeper.note_begun(
        world.tickets[names[7]]
    )  # sent before: that says nothing
    assert waits not in world.running
    world.dispatcher.gatekeeper.note_begun(world.tickets[two])
    assert waits in world.running
    assert world.replicas[0].concurrency == 4
    world.check()


def test_limits_that_are_used_up_shut_it_until_they_begin_anew() -> None:
    world = World("fcfs", concurrency=4)
    a, b = world.ask("a"), world.ask("b")
    world.dispatcher.gatekeeper.note_used_up(world.tickets[a], 2.0)
    c = world.ask("c")
    world.dispatcher.gatekeeper.note_begun(world.tickets[b])
    assert world.running == [a, b]
    world.wait(1.9)
    assert world.running == [a, b]
    world.wait(0.2)
    assert world.running == [a, b, c]
    assert world.replicas[0].concurrency == 4  # nothing was refused
    world.dispatcher.gatekeeper.note_used_up(world.tickets[a], 1e6)
    d = world.ask("d")
    world.wait(30.1)  # no longer than `retry` allows
    assert d in world.running
    world.check()


def test_what_waits_for_a_busy_engine_goes_to_another() -> None:
    world = World("sticky", engines=2, concurrency=1)
    a, b = world.ask("a"), world.ask("b")
    waits = world.ask("a")
    home = world.tickets[a].replica
    assert home is not None
    assert home.queued == 1
    world.wait(1)
    other = world.ask("c")
    busy(world, a)
    name = next(n for n in world.running if n != b)
    busy(world, name)
    assert home.queued == 0
    world.end(b)
    assert world.engine_of(world.running[0]) != home.name
    assert {waits, other} & set(world.running)
    world.check()


def test_calls_wait_for_an_engine_to_come_back_for_a_stated_time() -> None:
    world = World("fcfs", concurrency=1)
    world.dispatcher.roster.patience = 10.0
    running, waiting = world.ask("a"), world.ask("b")
    (replica,) = world.replicas
    assert world.dispatcher.roster.take_out(replica, RuntimeError("it burned")) == []
    world.end(running, done=False)
    world.wait(6)
    later = world.ask("c")
    assert world.running == []
    world.check()
    world.dispatcher.roster.back(replica)
    assert world.running == [waiting]
    world.end(waiting)
    assert world.running == [later]
    world.end(later)
    world.dispatcher.roster.take_out(replica, RuntimeError("again"))
    world.ask("d", id="d")
    world.wait(9.9)
    assert world.tickets["d"].queue is not None
    world.wait(0.2)
    assert world.tickets["d"].queue is None
    assert world.tickets["d"].replica is None
    assert world.running == ["d"]  # woken to be told
    with pytest.raises(Exception, match="none came back within 10 s: again"):
        world.ask("e")
    assert world.dispatcher.fleets["m"].waiting == 0


@given(st.lists(st.sampled_from(["ask", "end", "busy", "wait"]), max_size=60), st.integers(1, 5))
def test_no_course_of_busy_answers_loses_a_call(course: list[str], concurrency: int) -> None:
    world = World("fcfs", engines=2, concurrency=concurrency)
    asked = ended = 0
    for step in course:
        if step == "ask":
            world.ask(f"p{asked % 3}")
            asked += 1
        elif step == "wait":
            world.wait(0.7)
        elif world.running:
            (world.end if step == "end" else lambda n: busy(world, n, again=False))(
                world.running[0]
            )
            ended += 1
        world.check()
        for replica in world.replicas:
            assert 1 <= replica.concurrency <= concurrency
    for _ in range(200):
        if not world.running and asked == ended:
            break
        for name in list(world.running):
            world.end(name)
            ended += 1
        world.wait(1)
    assert asked == ended
