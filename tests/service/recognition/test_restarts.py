from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from played_agents import SYSTEM, TOOLS, Agent, Clock, words
from weft.service.recognition.conversations import Conversations


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock) -> Conversations:
    return Conversations(clock=clock)


def test_a_conversation_that_begins_anew_is_the_same_program(known: Conversations) -> None:
    agent = Agent(known, "a")
    for _ in range(3):
        for _ in range(5):
            agent.call()
        agent.compact()
    assert len(set(agent.programs)) == 1


def test_one_after_a_prompt_that_was_too_long_is_too(known: Conversations) -> None:
    agent = Agent(known, "a", lead=(TOOLS, SYSTEM), tool="bash")
    for _ in range(5):
        agent.call()
    agent.ask()
    agent.answered(0, tool="", failed=True)
    agent.compact()
    agent.call()
    assert len(set(agent.programs)) == 1


def test_a_task_with_a_summary_behind_it(known: Conversations) -> None:
    """As Cline does, whose first message remains, after a prompt that was too long."""
    task, other = words("task", 30), words("other", 30)
    agent, beside = (Agent(known, name, (TOOLS, SYSTEM), "bash") for name in ("a", "b"))
    for one, text in ((agent, task), (beside, other)):
        one.ask(text=text)
        one.answered()
        one.call()
    for turn in range(3):
        agent.ask()
        agent.answered(0, tool="", failed=True)
        agent.compact()
        agent.ask(text=task + b"Earlier context was compacted: " + words(turn, 20))
        agent.answered()
        agent.call()
    assert len(set(agent.programs)) == 1
    assert beside.call() != agent.programs[0]
    # Of one that did not fail, a longer task is another one.
    longer = Agent(known, "c", (TOOLS, SYSTEM), "bash")
    longer.ask(text=other + b" And then test it.")
    assert longer.programs[0] not in (agent.programs[0], beside.programs[0])


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"lead": (b"system\nYou judge.",)}, id="system-prompt"),
        pytest.param({"lead": (TOOLS, SYSTEM)}, id="tools"),
        pytest.param({"lead": ()}, id="no-system-prompt"),
        pytest.param({"host": "10.0.0.2"}, id="host"),
    ],
)
def test_another_agent_is_another_program(known: Conversations, other: dict[str, Any]) -> None:
    agent = Agent(known, "a")
    for _ in range(5):
        agent.call()
    helper = Agent(known, "b", **other)
    assert helper.call() != agent.programs[0]


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("Current working directory: /srv/one\n", "Working directory: /srv/one.", True),
        ("Current working directory: /srv/one\n", "Working directory: /srv/two.", False),
        ("<cwd>/srv/one</cwd>", "<cwd>/srv/two</cwd>", False),
        ("# Workspace Directory (C:\\one) Files", "# Workspace Directory (C:\\two) Files", False),
        ("Current working directory: /srv/one\n", "Here is what was done so far.", True),
        ("The directory is full.", "Look into the directory /tmp.", True),
    ],
)
def test_agents_in_different_folders_are_different_programs(
    known: Conversations, old: str, new: str, same: bool
) -> None:
    agent = Agent(known, "a")
    agent.ask(text=old.encode() + words("task", 400))
    agent.answered()
    for _ in range(5):
        agent.call()
    agent.compact()
    later = agent.ask(text=new.encode() + b"\n" + words("summary", 300))
    assert (later == agent.programs[0]) == same


def test_while_the_old_one_is_answered_it_has_not_stopped(known: Conversations) -> None:
    agent = Agent(known, "a")
    for _ in range(5):
        agent.call()
    agent.ask()
    assert Agent(known, "b").call() != agent.programs[0]


@pytest.mark.parametrize("tool", ["Task", "spawn_agent", "delegate"])
def test_an_agent_that_waits_for_another_has_not_stopped(known: Conversations, tool: str) -> None:
    agent = Agent(known, "a", lead=(TOOLS, SYSTEM), tool="bash")
    for _ in range(5):
        agent.call()
    agent.ask()
    agent.answered(tool=tool)
    child = Agent(known, "b", lead=agent.lead, tool="bash")
    assert {child.call() for _ in range(3)} != {agent.programs[0]}
    assert agent.programs[0] not in child.programs
    assert agent.call() == agent.programs[0]


def test_a_turn_that_ended_was_not_given_up(known: Conversations) -> None:
    agent = Agent(known, "a", lead=(TOOLS, SYSTEM), tool="bash")
    for _ in range(5):
        agent.call()
    agent.ask()
    agent.answered(tool="")
    assert Agent(known, "b", lead=agent.lead).call() != agent.programs[0]


def test_what_was_silent_for_long_is_left_alone(known: Conversations, clock: Clock) -> None:
    agent = Agent(known, "a")
    for _ in range(5):
        agent.call()
        clock.now += 2.0
    clock.now += 100.0
    assert Agent(known, "b").call() != agent.programs[0]


def test_what_has_ended_is_left_alone(known: Conversations) -> None:
    agent = Agent(known, "a")
    for _ in range(5):
        agent.call()
    known.end_program(agent.programs[0])
    assert Agent(known, "b").call() != agent.programs[0]


def test_if_the_old_one_goes_on_the_new_one_is_another_program(known: Conversations) -> None:
    old, new = Agent(known, "a"), Agent(known, "b")
    for _ in range(5):
        old.call()
    assert new.call() == old.programs[0]
    assert old.call() == old.programs[0]
    second = new.call()
    assert second != old.programs[0]
    for _ in range(3):
        assert (old.call(), new.call()) == (old.programs[0], second)


def test_tasks_in_one_form_are_told_from_summaries(known: Conversations) -> None:
    programs: set[str] = set()
    for task in range(6):
        agent = Agent(known, f"t{task}")
        agent.ask(text=b"Please solve this issue: %d " % task + words(task, 300))
        agent.answered()
        for _ in range(4):
            agent.call()
        assert len(set(agent.programs)) == 1
        programs.add(agent.programs[0])
    assert len(programs) == 6


def test_thoughts_that_are_left_out_make_no_programs(known: Conversations, clock: Clock) -> None:
    """Many at once send their histories anew, each a little shorter than with its answer."""
    drawn = random.Random(1)
    agents = [Agent(known, f"s{n}") for n in range(16)]
    for agent in agents:
        agent.ask(drawn.randrange(200, 3000))
    for _ in range(9):
        drawn.shuffle(agents)
        for agent in agents:
            agent.answered(drawn.randrange(20, 200))
        for agent in agents:
            clock.now += drawn.random()
            held = sum(map(len, agent.said))
            if drawn.random() < 0.3:
                agent.compact()
                agent.ask(held // 5 - 2)
            else:
                agent.ask(drawn.randrange(5, 200))
    every = {program for agent in agents for program in agent.programs}
    assert len(every) <= 18
    own = [max(map(agent.programs.count, agent.programs)) for agent in agents]
    assert sum(own) >= 0.9 * 160


@given(st.data())
def test_calls_that_are_under_way_at_once_are_of_as_many_programs(data: st.DataObject) -> None:
    """Whatever is taken for a restart, no program has two conversations under way at once.

    Except one that was thought to have stopped, for as long as it takes to see that.
    """
    clock = Clock()
    known = Conversations(clock=clock)
    agents = [Agent(known, f"s{n}") for n in range(4)]
    for _ in range(data.draw(st.integers(1, 40))):
        clock.now += 1.0
        agent = data.draw(st.sampled_from(agents))
        if agent.live is not None and agent.live.live:
            agent.answered()
            continue
        begins = not agent.said or data.draw(st.booleans())
        if begins:
            agent.compact()
        program = agent.ask(data.draw(st.integers(100, 1000)))
        if begins:
            others = [a.live for a in agents if a is not agent and a.live is not None]
            assert program not in {one.program for one in others if one.live}
