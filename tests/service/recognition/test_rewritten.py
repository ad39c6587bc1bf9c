from __future__ import annotations

import itertools
import random

import pytest

from weft.service.recognition.conversations import Conversations
from weft.service.recognition.known_requests import ConversationPlace
from weft.service.recognition.passages import bare

TOOLS = b'[{"name":"bash"}]'
SYSTEM = b"system\nYou edit code in /home/%b.\nYou answer briefly.\nToday is 2026-11-%d."
TASK = b"user\nRename the function add() to plus() in all of the files, please."


def system(day: int = 28, home: bytes = b"jo") -> bytes:
    return SYSTEM % (home, day)


def say(seed: int, role: bytes = b"assistant") -> bytes:
    """A message that nobody else sends."""
    drawn = random.Random(seed)
    return role + b"\n" + b" ".join(b"%x" % drawn.getrandbits(32) for _ in range(12))


def history(seed: int, turns: int) -> list[bytes]:
    roles = (b"assistant", b"tool")
    return [say(1000 * seed + turn, roles[turn % 2]) for turn in range(2 * turns)]


def ask(known: Conversations, *pieces: bytes, who: int = 0, host: str = "") -> ConversationPlace:
    place = known.find("", "m", pieces, 16, who=who, host=host)
    known.end(place, generated=10)
    return place


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize(
    "changed",
    [
        pytest.param([TOOLS, system(29), TASK], id="date"),
        pytest.param([TOOLS[:-1] + b',{"name":"mcp"}]', system(), TASK], id="tool-joins"),
        pytest.param([system(), TASK], id="tools-leave"),
        pytest.param([TOOLS, system(29), TASK + b"\n<reminder>2</reminder>"], id="date-and-end"),
        pytest.param(
            [TOOLS, system(), b"user\n<reminder>two</reminder>" + TASK[5:]], id="reminder-in-front"
        ),
        pytest.param([TOOLS, system(), TASK + b"\n<reminder>two</reminder>"], id="reminder-behind"),
    ],
)
def test_what_changes_before_a_conversation_begins_no_program(
    changed: list[bytes], turns: int
) -> None:
    known = Conversations()
    ask(known, TOOLS, system(), say(9, b"user"))  # somebody else's
    first = ask(known, TOOLS, system(), TASK)
    for turn in range(1, turns):
        ask(known, TOOLS, system(), TASK, *history(1, turn))
    later = ask(known, *changed, *history(1, turns))
    assert (later.program, later.new) == (first.program, False)
    assert ask(known, *changed, *history(1, turns + 1)).program == first.program


@pytest.mark.parametrize("part", [b"user\n%b\x1e%b", b"user\n%b\n%b\n"])
def test_reminders_around_a_short_task_come_and_go(part: bytes) -> None:
    known, task = Conversations(), b"<task>fix it</task>"
    ask(known, TOOLS, system(), say(9, b"user"))  # somebody else's
    first = ask(known, TOOLS, system(), part % (task, b"<time>9:59</time>"))
    said: list[bytes] = []
    for turn in range(3):
        said += [b"assistant\nDone.", part % (b"more %d" % turn, b"<time>9:%d</time>" % turn)]
        start = (b"user\n" + task, part % (b"<files>%d</files>" % turn, task))[turn % 2]
        asked = ask(known, TOOLS, system(turn), start, *said)
        assert (asked.program, asked.new) == (first.program, False)


REMINDERS = [
    pytest.param(b"user\n<reminder>%d</reminder>%b", id="in-front"),
    pytest.param(b"user\n%b<time>%d</time>", id="behind"),
]


def remind(number: int, form: bytes = b"user\n<time>%d</time>\n%b") -> bytes:
    """The task, among reminders that are never the same; in every fourth request there are none."""
    task = TASK.removeprefix(b"user\n")
    if number % 4 == 3:
        return TASK
    return form % ((number, task) if form.endswith(b"%b") else (task, number))


@pytest.mark.parametrize("form", REMINDERS)
@pytest.mark.parametrize("at_once", [1, 3, 5])
def test_sessions_with_one_task_and_changing_reminders_are_a_program_each(
    at_once: int, form: bytes
) -> None:
    known, numbers = Conversations(), itertools.count(1)
    drawn = random.Random(at_once)

    def asked(session: int, turns: int) -> str:
        said = history(session, turns)
        return ask(known, TOOLS, system(), remind(next(numbers), form), *said).program

    begun = [asked(session, 0) for session in range(at_once)]
    assert len(set(begun)) == at_once
    second = [asked(session, 1) for session in range(at_once)]
    assert sorted(second) == sorted(begun)  # who is who shows in their answers only
    for turns in range(2, 8):
        for session in drawn.sample(range(at_once), at_once):
            assert asked(session, turns) == second[session]


def test_a_task_with_other_reminders_goes_on_only_where_somebody_can() -> None:
    known = Conversations()
    form = b"user\n<env>Working directory: %b, at %d</env>\nFix the failing test, please."
    first = [known.find("", "m", (SYSTEM, form % (b"/a", n)), 16, host="h") for n in range(3)]
    other = ask(known, SYSTEM, form % (b"/b", 0), host="h")
    known.end(first[1])
    known.end(first[2], failed=True)

    def goes_on(folder: bytes, host: str, *more: bytes) -> str:
        place = known.find("", "m", (SYSTEM, form % (folder, 9), *more), 16, host=host)
        return "" if place.new else place.program

    assert not goes_on(b"/a", "else", *history(5, 1))
    assert not goes_on(b"/a", "h", say(4, b"user"))  # there is no answer
    assert not goes_on(b"/a", "h", *history(2, 2))  # requests are missing
    assert goes_on(b"/a", "h", *history(1, 1)) == first[1].program
    assert not goes_on(b"/a", "h", *history(3, 1))  # the others were not answered
    assert goes_on(b"/b", "h", *history(4, 1)) == other.program


def test_with_a_clock_in_the_system_prompt_equal_tasks_stay_apart() -> None:
    known = Conversations()
    first = [ask(known, TOOLS, system(day), TASK).program for day in range(8)]
    assert len(set(first)) == 8
    second = [ask(known, TOOLS, system(10 + n), TASK, *history(n, 1)).program for n in range(8)]
    assert sorted(second) == sorted(first)
    for n, program in enumerate(second):
        assert ask(known, TOOLS, system(20 + n), TASK, *history(n, 2)).program == program


def test_a_trimmed_history_is_known_by_what_was_kept() -> None:
    known = Conversations()
    first = ask(known, TOOLS, system(), TASK)
    other = ask(known, TOOLS, system(), say(9, b"user"))
    for turn in range(1, 6):
        ask(known, TOOLS, system(), TASK, *history(1, turn))
        ask(known, TOOLS, system(), say(9, b"user"), *history(2, turn))
    summary = b"user\nSummary: we renamed two."
    kept = ask(known, TOOLS, system(), summary, *history(1, 5)[-3:], say(5, b"user"))
    assert (kept.program, kept.new) == (first.program, False)
    assert ask(known, TOOLS, system(), summary, *history(2, 5)[-2:]).program == other.program


def test_people_and_agents_who_differ_in_anything_are_apart() -> None:
    known = Conversations()
    same = history(1, 1)
    first = [
        ask(known, TOOLS, system(), TASK).program,
        ask(known, TOOLS, system(home=b"al"), TASK).program,
        ask(known, TOOLS, system(), TASK, who=1).program,
        ask(known, TOOLS, system(), TASK, host="10.0.0.2").program,
    ]
    assert len(set(first)) == 4

    def second(day: int, tools: bytes) -> list[str]:
        return [
            ask(known, tools, system(day, b"al"), TASK, *same).program,
            ask(known, tools, system(day), TASK, *same, host="10.0.0.2").program,
            ask(known, tools, system(day), TASK, *same, who=1).program,
            ask(known, tools, system(day), TASK, *same).program,
        ]

    in_order = [first[1], first[3], first[2], first[0]]
    assert second(28, TOOLS) == in_order


def test_changed_prompts_go_on_with_the_likest() -> None:
    known = Conversations()
    homes = (b"jo", b"al", b"bo")
    first = [ask(known, TOOLS, system(home=home), TASK).program for home in homes]
    tools = TOOLS[:-1] + b',{"name":"mcp"}]'
    second = [
        ask(known, tools, system(29, home), TASK, *history(n, 1)).program
        for n, home in reversed(list(enumerate(homes)))
    ]
    assert second == first[::-1]


def test_another_agent_with_a_history_is_another_program() -> None:
    known = Conversations()
    ask(known, TOOLS, system(), TASK)
    ask(known, TOOLS, system(), TASK, *history(1, 1))
    review = b"system\nJudge what was done, from 0 to 9, and say no more than that."
    assert ask(known, review, TASK, b"user\nJudge.").new


def test_a_task_that_is_given_again_is_another_program() -> None:
    known = Conversations()
    ask(known, TOOLS, system(), TASK)
    ask(known, TOOLS, system(), TASK, *history(1, 1))
    assert ask(known, TOOLS, system(29), TASK).new
    shots = [b"user\nAn example of what to do.", b"assistant\nAn example of how it is done."]
    assert ask(known, TOOLS, system(), *shots, TASK).new
    assert ask(known, TOOLS, system(), *shots, say(7, b"user")).new


@pytest.mark.parametrize("form", [b"user\nx%b", b"user\n%bx"])
def test_of_many_blocks_only_some_are_looked_at(form: bytes) -> None:
    """Each takes a look at all of the message, which may be long."""
    many = form % (b"<a></a>" * 100)
    assert len(many) - len(bare(many)) == 16 * len(b"<a></a>")
