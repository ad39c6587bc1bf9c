"""Under which texts log-probabilities are told."""

import pytest

from weft.backends.vllm.token_texts import told
from weft.types import TokenLogprob


@pytest.mark.parametrize(
    ("text", "reported", "right"),
    [
        ("\U0001f389", [""], ["\U0001f389"]),  # an earlier answer began it
        ("\U0001f389 yes", ["", " yes"], ["\U0001f389", " yes"]),
        ("\U0001f389 yes", ["", "yes"], ["\U0001f389", " yes"]),
        (" The sea", ["The", "sea"], [" The", " sea"]),  # decoded alone, without its space
        ("\u00e9\nz", ["\ufffd\n", "z"], ["\u00e9\n", "z"]),
        ("x\ufffdy", ["x", "", "y"], ["x", "\ufffd", "y"]),  # bytes that are no character
        ("a\u4e2d", ["a", "", "", ""], ["a", "", "", "\u4e2d"]),
        ("ab", ["a", "<|x|>", "b"], ["a", "<|x|>", "b"]),  # a special token
        ("", ["<|x|>"], ["<|x|>"]),
        ("", ["\ufffd"], [""]),
        ("don't", ["do", "n 't"], ["do", "n't"]),
    ],
)
def test_they_are_the_text(text: str, reported: list[str], right: list[str]) -> None:
    given = [TokenLogprob(one, -1.0, {"other": -2.0, one: -1.0}) for one in reported]
    found = told(text, given)
    assert [one.token for one in found] == right
    assert all(one.top == {"other": -2.0, one.token: -1.0} for one in found)


def test_text_that_is_held_back_is_told_once() -> None:
    one = TokenLogprob("x", -1.0)
    assert [t.token for t in told("", [one], held=True)] == [""]
    assert [t.token for t in told("\ufffdx", [TokenLogprob("", -1.0)], held=True)] == ["\ufffdx"]
    two = [one, TokenLogprob("", -2.0)]
    assert [t.token for t in told("\ufffdx", two, held=True)] == ["\ufffdx", ""]
