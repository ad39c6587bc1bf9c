from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.service.recognition.conversations import Conversations
from weft.service.recognition.known_requests import ConversationPlace
from weft.service.recognition.text_prefix import TextPrefix

TOOLS, SYSTEM, TASK = b'[{"name":"bash"}]', b"system\nYou edit code.", b"user\nFix it."
CHUNK = 16


def find(known: Conversations, *pieces: bytes, **more: Any) -> ConversationPlace:
    return known.find("", "m", pieces, CHUNK, **more)


def ask(known: Conversations, *pieces: bytes, **more: Any) -> ConversationPlace:
    turn = find(known, *pieces, **more)
    known.end(turn)
    return turn


def test_a_conversation_that_grows_is_one_program() -> None:
    known = Conversations()
    history = [SYSTEM, TASK]
    first = ask(known, *history)
    assert first.new
    assert first.program.startswith("c-")
    for count in range(5):
        history += [b"assistant\n%d" % count, b"user\nGo on."]
        turn = ask(known, *history)
        assert (turn.program, turn.new) == (first.program, False)


def test_the_same_tools_and_system_text_are_not_the_same_conversation() -> None:
    known = Conversations()
    programs = {ask(known, TOOLS, SYSTEM, b"user\n%d" % task).program for task in range(5)}
    assert len(programs) == 5
    ask(known, TOOLS, SYSTEM)  # nothing was said yet
    assert ask(known, TOOLS, SYSTEM, TASK).new


def test_tenants_and_models_are_apart() -> None:
    known = Conversations()
    turns = [
        known.find(tenant, model, [SYSTEM, TASK], CHUNK)
        for tenant, model in [("a", "m"), ("b", "m"), ("a", "n")]
    ]
    assert all(turn.new for turn in turns)
    assert turns[0].program.startswith("a/c-")
    longer = known.find("b", "m", [SYSTEM, TASK, b"assistant\nx"], CHUNK)
    assert longer.program == turns[1].program


def test_equal_first_requests_are_programs_that_go_on_one_by_one() -> None:
    known = Conversations()
    turns = [find(known, SYSTEM, TASK) for _ in range(4)]
    programs = [turn.program for turn in turns]
    assert len(set(programs)) == 4
    # Only those that were answered can have gone on.
    known.end(turns[2])
    known.end(turns[0])
    gone = [ask(known, SYSTEM, TASK, b"assistant\n%d" % at).program for at in range(2)]
    assert sorted(gone) == sorted([programs[0], programs[2]])
    known.end(turns[1])
    known.end(turns[3])
    gone += [ask(known, SYSTEM, TASK, b"assistant\n%d" % at).program for at in range(2, 4)]
    assert sorted(gone) == sorted(programs)
    # Each goes on with what is now its own history.
    for at, program in enumerate(gone):
        assert ask(known, SYSTEM, TASK, b"assistant\n%d" % at, b"user\n.").program == program


def test_equal_continuations_of_equal_programs_stay_apart() -> None:
    known = Conversations()
    programs = {ask(known, SYSTEM, TASK).program for _ in range(3)}
    second = (SYSTEM, TASK, b"assistant\nsame", b"user\ngo on")
    assert {ask(known, *second).program for _ in range(3)} == programs
    third = (*second, b"assistant\nsame", b"user\ngo on")
    assert {ask(known, *third).program for _ in range(3)} == programs


def test_a_request_that_is_sent_again_is_the_same_program() -> None:
    known = Conversations()
    first = find(known, SYSTEM, TASK)
    assert find(known, SYSTEM, TASK, resent=True).program == first.program
    keyed = find(known, SYSTEM, TASK, key="k")
    assert keyed.program != first.program
    assert find(known, SYSTEM, TASK, key="k").program == keyed.program
    assert find(known, SYSTEM, TASK, key="l").new


def test_after_a_failure_an_equal_request_is_the_same_program() -> None:
    known = Conversations()
    first = find(known, SYSTEM, TASK)
    known.end(first, failed=True)
    again = find(known, SYSTEM, TASK)
    assert again.program == first.program
    known.end(again)
    assert find(known, SYSTEM, TASK).new


def test_branches_and_samples_within_a_conversation_belong_to_it() -> None:
    known = Conversations()
    first = ask(known, SYSTEM, TASK)
    later = (SYSTEM, TASK, b"assistant\na", b"user\nb")
    assert [find(known, *later).program for _ in range(3)] == [first.program] * 3
    assert ask(known, SYSTEM, TASK, b"assistant\nother").program == first.program


def test_a_reminder_that_is_not_kept_does_not_hide_a_conversation() -> None:
    known = Conversations()
    task = b"user\nRename the function add() to plus() in all of the files, please."
    reminder = b"\n\nAnswer in blocks."
    first = ask(known, SYSTEM, task + reminder)
    second = ask(known, SYSTEM, task, b"assistant\nx", b"user\nNow test it." + reminder)
    assert (second.program, second.new) == (first.program, False)
    at_end = b"system\nAnswer in blocks."
    other = ask(known, SYSTEM, b"user\nAnother task", at_end)
    assert other.new
    longer = ask(known, SYSTEM, b"user\nAnother task", b"assistant\nx", b"user\ny", at_end)
    assert longer.program == other.program


def test_changed_messages_that_fit_two_programs_fit_none() -> None:
    known = Conversations()
    head = b"user\nConsider the following description of a problem, and then mend it: "
    for task in (b"one", b"two"):
        ask(known, SYSTEM, head + task)
    assert ask(known, SYSTEM, head + b"three", b"assistant\nx").new


def test_a_trimmed_history_begins_a_program() -> None:
    known = Conversations()
    ask(known, SYSTEM, TASK, b"assistant\na", b"user\nb", b"assistant\nc", b"user\nd")
    assert ask(known, SYSTEM, b"user\nSummary: ...", b"user\nd").new


def test_named_programs_are_what_they_say() -> None:
    known = Conversations()
    named = ask(known, SYSTEM, TASK, program="mine")
    assert (named.program, named.new) == ("mine", False)
    assert ask(known, SYSTEM, TASK, b"assistant\na", program="other").program == "other"
    assert ask(known, SYSTEM, TASK, b"assistant\na", b"user\nb").program == "other"
    assert ask(known, SYSTEM, TASK).new


def test_an_answer_can_be_gone_on_from_by_its_id() -> None:
    known = Conversations()
    first = find(known, SYSTEM, TASK)
    known.end(first, prompt=100, answer="resp_1", engine="one")
    second = find(known, b"user\nGo on.", previous="resp_1")
    assert (second.program, second.new, second.engine) == (first.program, False, "one")
    assert not known.find("other", "m", [b"user\nGo on."], CHUNK, previous="resp_1").engine
    assert list(second.prefix.hashes)[: len(first.prefix.hashes)] == list(first.prefix.hashes)
    assert 100 < second.tokens < 100 + 100, "what it grew by, as learned from the first"
    known.end(second, answer="resp_2")
    third = ask(known, b"user\nAnd on.", previous="resp_2")
    assert third.program == first.program
    assert ask(known, b"user\nGo on.", previous="resp_9").new
    assert ask(known, b"user\nGo on.").new


def test_the_prefix_is_that_of_all_pieces_however_it_was_found() -> None:
    known = Conversations()
    history = [SYSTEM, TASK]
    turns = list[tuple[ConversationPlace, list[bytes]]]()
    for count in range(6):
        turns.append((ask(known, *history), list(history)))
        history += [b"assistant\n" + b"%d" % count * 30, b"user\nGo on."]
    # Branches off older requests, whose prefixes were taken over by longer ones.
    for _, pieces in list(turns):
        longer = [*pieces, b"assistant\nanother way " * 3]
        turns.append((ask(known, *longer), longer))
    turns.append((ask(known, *turns[2][1]), turns[2][1]))
    for turn, pieces in turns:
        assert turn.prefix == TextPrefix.of(pieces, CHUNK)
    salted = find(known, *history, salt="s")
    assert not set(salted.prefix.hashes) & set(find(known, *history).prefix.hashes)
    other = known.find("", "m", history, 32)
    assert other.prefix == TextPrefix.of(history, 32)


def test_tokens_are_those_known_and_what_is_new() -> None:
    known = Conversations()
    text = b"user\n" + b"x" * 995
    first = find(known, text)
    assert first.tokens == 250
    known.end(first, prompt=500)
    more = b"assistant\n" + b"y" * 390
    ratio = known.lengths.token_bytes("m")
    assert 2 < ratio < 2.1
    second = find(known, text, more)
    assert second.tokens == pytest.approx(500 + 400 / ratio, abs=5)
    assert find(known, text, resent=True).tokens == 500
    known.end(second)  # nothing was said
    assert known.lengths.token_bytes("m") == ratio
    assert known.lengths.token_bytes("n") == 4


def test_what_was_kept_is_recognised_after_a_restart() -> None:
    before = Conversations()
    first = ask(before, SYSTEM, TASK)
    second = ask(before, SYSTEM, TASK, b"assistant\na", b"user\nb")
    after = Conversations()
    after.load(before.rows())
    assert before.rows() == [
        (first.digest, first.program),
        (second.digest, second.program),
    ]
    third = [SYSTEM, TASK, b"assistant\na", b"user\nb", b"assistant\nc"]
    assert ask(after, *third).program == first.program
    # A client that saw the service die sends its request again.
    assert ask(after, SYSTEM, TASK, b"assistant\na", b"user\nb").program == first.program
    assert ask(after, *third).prefix == TextPrefix.of(third, CHUNK)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param([SYSTEM + b"\nToday is Monday.", TASK], id="system-prompt"),
        pytest.param([b'[{"name":"look"}]', SYSTEM, TASK], id="tools"),
        pytest.param([SYSTEM, b"user\n<reminder>" + TASK[5:]], id="first-message"),
        pytest.param([SYSTEM + b"\nNo.", TASK + b"\n<reminder>"], id="both"),
        pytest.param([SYSTEM], id="cut"),
    ],
)
def test_what_was_changed_meanwhile_is_too(changed: list[bytes]) -> None:
    before, after = Conversations(), Conversations()
    said = [b"assistant\n" + b"An answer that nobody else has got. " * 3, b"user\nb"]
    first = ask(before, SYSTEM, TASK)
    ask(before, SYSTEM, TASK, *said)
    other = ask(before, SYSTEM, TASK + b" And hurry.")
    ask(before, SYSTEM, TASK + b" And hurry.", b"assistant\n" + b"Yes. " * 30, b"user\nc")
    after.load(before.rows())
    again = ask(after, *changed, *said, b"assistant\nc", b"user\nd")
    assert again.program == first.program
    assert again.program != other.program


def test_what_an_earlier_version_has_kept_is_recognised() -> None:
    before, after = Conversations(), Conversations()
    first = ask(before, SYSTEM, TASK)
    after.load([(kept[:8], program) for kept, program in before.rows()])
    assert ask(after, SYSTEM, TASK, b"assistant\na", b"user\nb").program == first.program


def test_memory_is_bounded() -> None:
    known = Conversations(most=50, most_hashes=400)
    for at in range(300):
        text = b"user\n%d " % at + b"x" * 100
        turn = find(known, SYSTEM, text)
        known.end(turn, prompt=30, answer=f"r{at}")
        find(known, SYSTEM, text, b"assistant\n" + b"y" * 200)
        find(known, SYSTEM, text, resent=True)
    assert len(known) <= 50
    assert known.hashes <= 400
    assert ask(known, SYSTEM, text, b"assistant\n" + b"y" * 200, b"user\nz").program == turn.program
    huge = find(known, b"user\n" + b"z" * 100_000)
    assert len(huge.prefix.hashes) > 400
    assert len(known) == 1
    many = Conversations()
    for _ in range(1000):
        find(many, SYSTEM, TASK)
    assert len(many) == 1


MESSAGES = st.sampled_from([b"a", b"b", b"c"])


@settings(max_examples=80)
@given(st.data())
def test_interleaved_conversations_are_told_apart(data: st.DataObject) -> None:
    """Agents with tasks of their own, in any order; some go on before their call is over."""
    known = Conversations()
    agents = data.draw(st.integers(1, 5))
    histories = [[TOOLS, SYSTEM, b"user\ntask %d" % agent] for agent in range(agents)]
    programs: dict[int, str] = {}
    for _ in range(data.draw(st.integers(1, 20))):
        agent = data.draw(st.integers(0, agents - 1))
        history = histories[agent]
        turn = find(known, *history)
        assert turn.new == (agent not in programs)
        assert turn.program == programs.setdefault(agent, turn.program)
        assert turn.prefix == TextPrefix.of(history, CHUNK)
        if data.draw(st.booleans()):
            known.end(turn)
        history += [b"assistant\n" + data.draw(MESSAGES), b"user\n" + data.draw(MESSAGES)]
    assert len(set(programs.values())) == len(programs)


@given(st.lists(st.lists(MESSAGES, min_size=1, max_size=4), min_size=1, max_size=30))
def test_any_requests_give_the_prefix_of_their_own_pieces(requests: list[Sequence[bytes]]) -> None:
    known = Conversations(most=4, most_hashes=6)
    for pieces in requests:
        turn = known.find("", "m", pieces, 1)
        assert turn.prefix == TextPrefix.of(pieces, 1)
        known.end(turn)
        assert len(known) <= 4
