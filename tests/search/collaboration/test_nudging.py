"""Nudging: where the large model is in doubt, words of the small one come next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weft.errors import RequestRejected
from weft.search import Nudging, Question
from weft.search.collaboration.nudging import word_ends
from weft.types import Request


def saying(text: str) -> Callable[[Request], str]:
    """Says a text; behind words of others, what follows as many of its own."""
    ends = [0, *word_ends(text, cut=False)]

    def reply(request: Request) -> str:
        written = request.messages[-1].content if request.open else ""
        if text.startswith(written):
            return text[len(written) :]
        return text[ends[len(written.split())] :]

    return reply


def doubting(*words: int) -> Callable[[Request, str], int]:
    """Wavers where the next word has one of these numbers."""
    return lambda request, written: 9 if len(written.split()) in words else 1


@pytest.fixture
def open_question(question: Question) -> Question:
    """Any text is an answer."""
    return replace(question, answer=lambda text: text, complete=lambda text: False, max_tokens=99)


LARGE = "the cat sat on the mat and slept there all day long"
SMALL = "one dog ran in some fog but spoke more than he did"
WORDS = ["the", *(f" {word}" for word in LARGE.split())]
"""Each word of the large model is one of its tokens."""


@pytest.mark.parametrize("sure", [0.0, 0.1])
async def test_a_large_model_that_is_sure_writes_alone(sure, pair, open_question) -> None:
    both = pair(SMALL, saying(LARGE), pieces=WORDS, large_ways=lambda request, written: 9)
    done = await both.answer(Nudging(sure=sure), open_question)
    assert done.value.text == LARGE
    assert not both.small.requests
    assert done.value.details["nudges"] == 0


async def test_a_large_model_that_is_never_sure_writes_nothing(pair, open_question) -> None:
    both = pair(saying(SMALL), saying(LARGE.upper()), large_ways=lambda r, t: 2)
    done = await both.answer(Nudging(sure=1.0), open_question)
    assert done.value.text == SMALL
    assert done.value.details["nudges"] > 3


@pytest.mark.parametrize(
    ("doubts", "text", "nudges"),
    [
        ("2", "the cat ran on the mat and slept there all day long", 1),
        ("2 3", "the cat ran in the mat and slept there all day long", 2),
        ("0 6", "one cat sat on the mat but slept there all day long", 2),
        ("1 2 3", "the dog ran in the mat and slept there all day long", 3),
    ],
)
async def test_words_are_given_where_it_doubts(
    doubts: str, text: str, nudges: int, pair, open_question
) -> None:
    both = pair(
        saying(SMALL), saying(LARGE), pieces=WORDS, large_ways=doubting(*map(int, doubts.split()))
    )
    done = await both.answer(Nudging(), open_question)
    assert done.value.text == text
    assert done.value.details["nudges"] == nudges


async def test_several_words_come_of_one_look_ahead(pair, open_question) -> None:
    both = pair(saying(SMALL), saying(LARGE), pieces=WORDS, large_ways=doubting(0, 1, 2))
    await both.answer(Nudging(), open_question)
    assert both.small.wrote == ["one dog ran in s"]


async def test_where_both_agree_the_large_model_goes_on(pair, open_question) -> None:
    small = SMALL.replace("ran", "sat")
    both = pair(saying(small), saying(LARGE), pieces=WORDS, large_ways=doubting(1, 2))
    done = await both.answer(Nudging(), open_question)
    assert done.value.text == "the dog sat on the mat and slept there all day long"
    assert done.value.details["nudges"] == 1  # for "dog"; "sat" it says itself


async def test_an_end_within_the_look_ahead_ends_the_answer(pair, open_question) -> None:
    both = pair(" a short one.", saying(LARGE), pieces=WORDS, large_ways=doubting(3))
    done = await both.answer(Nudging(), open_question)
    assert done.value.text == "the cat sat a short one."


async def test_three_equal_nudges_end_it(pair, open_question) -> None:
    both = pair("um " * 20, saying(LARGE), pieces=WORDS, large_ways=lambda request, written: 9)
    done = await both.answer(Nudging(), open_question)
    assert done.value.text == "um um um"


async def test_what_is_cut_within_a_character_is_handed_over_whole(pair, open_question) -> None:
    """The large model's tokens are bytes, and its doubt is in the middle of a character."""
    seen = 0

    def inside(request: Request, written: str) -> int:
        nonlocal seen
        seen = seen + 1 if written.endswith("caf") else 0
        return 9 if seen == 2 else 1  # at the second byte of the é

    text = "ça: café noir"
    both = pair("É et cetera, et cetera", saying(text), large_ways=inside)
    done = await both.answer(Nudging(), open_question)
    assert done.value.text == "ça: cafÉ noir"
    assert both.small.wrote == ["É et cetera, et "]
    assert both.small.requests[0].messages[-1].content == "ça: caf"


TEXTS = st.text(st.sampled_from("ab \n.é中文かナ🎉"), max_size=30)


@given(TEXTS, st.booleans())
@example("中文 ab", True)
def test_words_are_whole(text: str, cut: bool) -> None:
    ends = word_ends(text, cut=cut)
    assert ends == sorted(set(ends))
    words = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    assert text.startswith("".join(words))
    if text.strip():
        assert all(word.strip() for word in words)
        assert all(len(word.split()) == 1 for word in words)
        left = text[ends[-1] :]
        assert not left.strip() or cut  # a word that may go on
    assert all(len(w.strip()) == 1 for w in words if set(w) & set("中文かナ"))


async def test_where_one_model_fails_the_other_answers(pair, open_question) -> None:
    def refuses(request: Request) -> str:
        raise RequestRejected("not today")

    for small, large, text in ((refuses, saying(LARGE), LARGE), (saying(SMALL), refuses, SMALL)):
        both = pair(small, large, pieces=WORDS, large_ways=doubting(2))
        answer = (await both.answer(Nudging(), open_question)).value
        assert answer.text == text
        assert answer.details["failed"] > 0
    with pytest.raises(RequestRejected, match="not today"):
        await pair(refuses, refuses).answer(Nudging(), open_question)
