"""Thinking told from answers, in whatever pieces they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.parsers.thinking import Thinking, opens_thinking, split_thinking, visible

MARKS = [
    "analysis",
    "assistantfinal",
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "◁think▷",
    "◁/think▷",
    "<thought>",
    "</Thought>",
    "</thinking>",
]


@pytest.mark.parametrize(
    ("text", "reasoning", "answer", "inside"),
    [
        ("5", "", "5", False),
        ("<think>7 or 8</think>\n\n5", "7 or 8", "5", False),
        (" <think>\na\n</think>b <think>c</think>d", "a\nc", "b d", False),
        ("7 or 8</think>\n5", "7 or 8", "5", False),  # the template had opened it
        ("<think>7 or", "7 or", "", True),
        ("[THINK]7[/THINK]5", "7", "5", False),
        ("<seed:think>7</seed:think>5", "7", "5", False),
        ("◁think▷7◁/think▷5", "7", "5", False),
        ("write `</think>` to end it", "", "write `</think>` to end it", False),
        ("a < b and [x]", "", "a < b and [x]", False),
        (
            "<|channel|>analysis<|message|>7<|end|><|start|>assistant<|channel|>final<|message|>5",
            "7",
            "5",
            False,
        ),
        # The same without the special tokens.
        ("analysisWe add 2 and 3.assistantfinal5", "We add 2 and 3.", "5", False),
        ("analysis7assistantanalysis8assistantfinal5", "7\n8", "5", False),
        ("analysis**Adding**\n7assistantfinal 5", "**Adding**\n7", "5", False),
        ("analysis of the data: 5", "", "analysis of the data: 5", False),
        ("An analysisWe assistantfinal", "", "An analysisWe assistantfinal", False),
        ("analysis", "", "analysis", False),
        ("finally 5", "", "finally 5", False),
        # Tags that prompts ask for count at the beginning alone.
        ("<thinking>\n7 </think> or 8\n</thinking>\n5", "7 </think> or 8", "5", False),
        ("\n<Reasoning>7</reasoning>5 </thinking>", "7", "5 </thinking>", False),
        ("<THINK>7</THINK>5", "7", "5", False),
        ("<thought>7", "7", "", True),
        ("Write <thinking>7</thinking>", "", "Write <thinking>7</thinking>", False),
        ("<thoughtful>7", "", "<thoughtful>7", False),
        ("<b>5</b>", "", "<b>5</b>", False),
        ("<think", "", "<think", False),
    ],
)
def test_thinking_and_answer(text: str, reasoning: str, answer: str, inside: bool) -> None:
    found = split_thinking(text)
    assert (found.reasoning, found.text, found.inside) == (reasoning, answer, inside)
    assert visible(text) == (answer if not inside else text if found.unmarked else None)


def test_a_text_that_begins_within_thinking() -> None:
    found = split_thinking("7 or 8", inside=True)
    assert (found.reasoning, found.text, found.inside) == ("7 or 8", "", True)
    assert not split_thinking("7</think>5", inside=True).unopened
    assert split_thinking("7</think>5").unopened
    assert split_thinking("7</thinking>5", inside=True).text == "5"  # an answer gone on with
    assert split_thinking("7</thinking>5").text == "7</thinking>5"


@given(st.lists(st.sampled_from([*MARKS, "a", " ", "\n", "<", "`", "b c"])), st.integers(1, 9))
def test_the_pieces_do_not_matter(parts: list[str], size: int) -> None:
    text = "".join(parts)
    whole, pieces = split_thinking(text), Thinking()
    told = "".join(pieces.feed(text[i : i + size]) for i in range(0, len(text), size))
    assert (pieces.reasoning, pieces.text) == (whole.reasoning, whole.text)
    assert (pieces.inside, pieces.unopened) == (whole.inside, whole.unopened)
    if not whole.unopened:  # what was told is the answer, but for a mark that may have begun
        assert whole.text.lstrip().startswith(told.lstrip())


def test_a_name_alone_begins_thinking_only_if_something_ends_it() -> None:
    cut = split_thinking("analysisWe add")
    assert (cut.reasoning, cut.text, cut.inside, cut.unmarked) == ("We add", "", True, True)
    code = split_thinking("analysisOf = 5", ended=True)
    assert (code.reasoning, code.text, code.inside) == ("", "analysisOf = 5", False)
    assert visible("analysisOf = 5") == "analysisOf = 5"
    assert split_thinking("<think>7", ended=True).inside


def test_prompts_that_open_thinking() -> None:
    assert opens_thinking("<|assistant|>\n<think>\n")
    assert not opens_thinking("<think>\n\n</think>\n\n")
