import pytest

from weft.errors import UsageError
from weft.programs import Prompt
from weft.types import Message


def test_turns_in_order_and_parents_untouched():
    root = Prompt.system("be brief")
    left, right = root.user("a"), root.user("b")
    assert left.messages == (Message("system", "be brief"), Message("user", "a"))
    assert right.parent is left.parent is root
    assert root.messages == (Message("system", "be brief"),)


def test_an_open_answer_goes_on_in_one_message():
    prompt = Prompt.user("q").assistant("14 / ", open=True).assistant("2 = 7", open=True)
    assert prompt.messages[-1] == Message("assistant", "14 / 2 = 7")
    assert prompt.open
    assert prompt.answer == "14 / 2 = 7"
    closed = prompt.user("and?")
    assert not closed.open
    assert len(closed) == 3


def test_a_closed_answer_is_not_continued_by_the_next():
    prompt = Prompt.user("q").assistant("a").assistant("b")
    assert [m.content for m in prompt.messages] == ["q", "a", "b"]


def test_keys_follow_the_content():
    assert Prompt.user("a").user("b") == Prompt.user("a").user("b")
    assert len({Prompt.user("a"), Prompt.user("a"), Prompt.tool("a"), Prompt.user("b")}) == 3
    assert Prompt.user("a").assistant("x") != Prompt.user("a").assistant("x", open=True)
    produced = Prompt.user("a").produced("x", tokens=(1, 2), model="m", call="c")
    assert produced != Prompt.user("a").produced("x", tokens=(1, 3), model="m", call="c")


def test_a_turn_takes_text():
    with pytest.raises(UsageError, match="user turn takes a text, not int"):
        Prompt.user(3)  # pyright: ignore[reportArgumentType]
