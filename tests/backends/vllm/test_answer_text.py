"""Text is what the ids say, however an answer is cut, stopped and gone on with."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpe_server import Model, events
from byte_bpe import byte_bpe
from weft import Pool, Prompt, generate
from weft.backends.http import wire
from weft.backends.vllm.answer_text import BROKEN, AnswerText, Decode, Decoder
from weft.types import Delta

T = TypeVar("T")
TOKENIZER = byte_bpe()


def ids_of(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False).ids


PROMPT = ids_of("<|im_start|>user\nThe sea.\n\nYes?<|im_end|>\n<|im_start|>assistant\n")
END = ids_of("<|im_end|>")[0]


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def said(ids: Sequence[int]) -> str:
    """What ids say up to the last whole character, by the definition."""
    for end in range(len(ids), 0, -1):
        text = TOKENIZER.decode(list(ids[:end]), skip_special_tokens=True)
        if not text.endswith(BROKEN):
            return text
    return ""


class Rest(Model):
    """Answers with what is left of an answer."""

    left: list[int]

    def answer(self, prompt: list[int]) -> list[int]:
        return self.left


async def decode(ids: Sequence[int]) -> str | None:
    return TOKENIZER.decode(list(ids), skip_special_tokens=False)


async def cannot_decode(ids: Sequence[int]) -> str | None:
    return None


async def encode(text: str) -> list[int]:
    return ids_of(text)


def call(
    prompt: list[int],
    left: list[int],
    interval: int,
    *,
    shown: str | None = "",
    ask: Decode = decode,
    **body: Any,
) -> tuple[str, list[int], Delta]:
    """One call: its text, its ids, and its last delta."""
    model = Rest(tokenizer=TOKENIZER, interval=interval, template="qwen")
    model.left = left
    stops = tuple(body.get("stop", ()))
    answer = AnswerText(Decoder(ask, encode), tuple(prompt), stops)
    done(answer.begin(shown))
    if answer.stops_here or not stops:
        body.pop("stop", None)
    else:
        body["include_stop_str_in_output"] = True
    text, ids, tokens = "", list[int](), list[str]()
    for event in events(model, body | {"prompt": prompt, "logprobs": 0}):
        if not event["choices"]:
            break
        choice = event["choices"][0]
        read = wire.delta(choice, 1)
        delta = done(answer.mend(read, wire.end_token(choice, read)))
        text, ids = text + delta.text, ids + list(delta.tokens)
        tokens += [one.token for one in delta.logprobs]
        assert all(one.top == {one.token: one.logprob} for one in delta.logprobs)
        if delta.finish_reason is not None:
            assert len(tokens) == len(ids)
            assert "".join(tokens) == text
            assert not answer.lost
            return text, ids, delta
    raise AssertionError("it had no end")


WORDS = [
    "The",
    " sea",
    ".\n\n",
    "\n\n",
    "\n",
    "x",
    "\u00e9",
    "\u4e2d",
    "\U0001f389",
    " Yes",
    "\ufffd",
]
token = st.one_of(
    st.sampled_from(WORDS).map(ids_of),
    st.integers(0, 255).map(lambda byte: [byte]),
)


@given(
    st.lists(token, max_size=12).map(lambda found: [one for ids in found for one in ids]),
    st.lists(st.integers(1, 6), min_size=1, max_size=12),
    st.lists(
        st.sampled_from(["\n", "\n\n", "e s", ".", "\u00e9", "\u4e2dx"]), max_size=2, unique=True
    ),
    st.sampled_from([1, 4]),
)
@example(ids_of("a\U0001f389\U0001f389b"), [2, 1, 1, 1, 5], [], 1)
@example(ids_of("a\U0001f389.\n\nb"), [2, 1, 9], ["\n"], 4)
@example(ids_of("The sea"), [9], ["e s"], 1)
@example([*ids_of("x\n"), *ids_of("\n\n")], [9], ["\n\n"], 4)
@example([*ids_of("P"), 234, *ids_of(" Yes"), *ids_of("\U0001f389")], [5], [], 2)
def test_text_ids_and_stops_agree(
    whole: list[int], cuts: list[int], stops: list[str], interval: int
) -> None:
    produced: list[int] = []
    shown = ""
    for most in cuts:
        left = [*whole[len(produced) :], END]
        before = said(PROMPT + produced)
        text, ids, last = call(PROMPT + produced, left, interval, max_tokens=most, stop=stops)
        assert ids == whole[len(produced) : len(produced) + len(ids)]
        produced += ids
        shown += text
        assert said(PROMPT) + shown == said(PROMPT + produced)
        matched = any(stop in text for stop in stops)
        assert matched == (last.finish_reason == "stop" and not last.ended)
        if matched:  # not before its last token
            earlier = said(PROMPT + produced[:-1])[len(before) :]
            assert not any(stop in earlier for stop in stops)
        if last.ended:
            assert produced == whole
            break


@given(
    st.lists(st.sampled_from(WORDS[:-1]), max_size=8).map("".join),
    st.lists(st.integers(1, 6), min_size=1, max_size=12),
    st.lists(st.sampled_from(["\n\n", "e s", "\u00e9", "\u4e2dx"]), max_size=2, unique=True),
)
@example("\U0001f389\U0001f389b", [3, 2, 1, 9], [])
@example("a\U0001f389\U0001f389b", [2, 9], [])
@example("The sea.\n\nx", [9], ["\n", "e s"])
def test_text_and_ids_agree_where_a_server_cannot_tell_what_ids_say(
    whole: str, cuts: list[int], stops: list[str]
) -> None:
    answer, produced, shown = ids_of(whole), list[int](), ""
    for index, most in enumerate(cuts):
        text, ids, last = call(
            PROMPT + produced,
            [*answer[len(produced) :], END],
            interval=1,
            shown=shown if index else None,
            ask=cannot_decode,
            max_tokens=most,
            stop=stops,
        )
        produced += ids
        assert produced == answer[: len(produced)]
        shown += text
        assert shown == said(produced)
        assert any(stop in text for stop in stops) == (
            last.finish_reason == "stop" and not last.ended
        )
        if last.ended:
            break


def test_the_end_tokens_text_is_left_out_though_it_is_no_special_one() -> None:
    end = ids_of("x")[0]

    for text, ids, right in (
        ("Thex", ids_of("The"), "The"),
        ("xx", ids_of("x"), "x"),
        ("x", ids_of("x"), "x"),
    ):
        answer = AnswerText(Decoder(decode, encode), tuple(PROMPT), ("\n",))
        done(answer.begin(""))
        delta = Delta(text, tuple(ids), len(ids) + 1, finish_reason="stop", ended=True)
        assert done(answer.mend(delta, end)).text == right


def test_a_prompt_that_shows_the_broken_character_keeps_it_to_itself() -> None:
    prompt = [*PROMPT, *ids_of("a\ufffd")]
    answer = AnswerText(Decoder(decode, encode), tuple(prompt), ())
    done(answer.begin("a\ufffd"))
    whole = TOKENIZER.decode([*prompt, *ids_of("x")])
    assert done(answer.mend(Delta(whole, tuple(ids_of("x")), 1), None)).text == "x"


@pytest.mark.parametrize("cut", range(1, 9))
async def test_an_answer_cut_within_a_character_and_gone_on_with(serve, cut: int) -> None:
    text = "ab\U0001f389\u4e2d"
    model, url = serve({"party?": text}, interval=4)
    async with Pool(url):
        a = await generate(Prompt.user("party?"), max_tokens=cut, stop="zz", logprobs=0)
        b = await generate(a.prompt, stop=["\u4e2d", "?"], logprobs=0)
    assert a.text + b.text == b.prompt.answer == text
    assert [*a.tokens, *b.tokens] == model.ids(text)
    assert (len(a.logprobs), len(b.logprobs)) == (len(a.tokens), len(b.tokens))
    assert BROKEN not in a.text


async def test_what_servers_are_asked_is_little(serve) -> None:
    """Tokens are looked up once; nothing is asked for a text that is right."""
    model, url = serve({"one?": "Step.\n\nStep.\n\nStep"})
    async with Pool(url):
        first = model.count("detokenize")
        for _ in range(3):
            await generate(Prompt.user("one?"), stop=".\n\n")
        assert model.count("detokenize") == first + 2  # the prompt's last token, and the answer's
        for _ in range(5):
            await generate(Prompt.user("one?"), max_tokens=2)
        assert model.count("detokenize") == first + 2


async def test_a_server_without_detokenize(serve) -> None:
    """Stop strings end with their token, and a cut character is never the prompt's text."""
    model, url = serve({"one?": "The sea is \u4e2d", "cut?": "\U0001f389."}, detokenizes=False)
    async with Pool(url):
        for _ in range(3):
            assert (await generate(Prompt.user("one?"), stop="e s")).text == "The sea"
        for cut in range(1, 5):
            a = await generate(Prompt.user("cut?"), max_tokens=cut, logprobs=0)
            b = await generate(a.prompt, stop="!", logprobs=0)
            assert a.text + b.text == "\U0001f389."
            assert "".join(one.token for one in (*a.logprobs, *b.logprobs)) == a.text + b.text
            assert not a.missing + b.missing
    assert model.count("detokenize") == 1


async def test_what_nobody_can_tell_from_the_prompt_is_named(serve) -> None:
    """Tokens that the tokenizer would not choose, on a server that can't say what ids say."""
    odd = ids_of("\u00e9x")
    model, url = serve({"cut?": odd}, detokenizes=False)
    model.ids = lambda text: [*TOKENIZER.encode(text, add_special_tokens=False).ids, 1]
    async with Pool(url):
        a = await generate(Prompt.user("cut?"), max_tokens=1)
        b = await generate(a.prompt)
    assert (a.text, b.text, b.missing) == ("", "x", ("text",))
