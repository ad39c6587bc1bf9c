from __future__ import annotations

import math
from typing import Any

import anyio
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from weft import Pool, Prompt, generate
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.backends.scripted.script import Replies
from weft.backends.scripted.vocabulary import CHARACTERS, Vocabulary
from weft.errors import (
    ContextExceeded,
    EngineUnavailable,
    RequestRejected,
    Unsupported,
)
from weft.types import Delta, Message, Request, Sampling

HELLO = (Message("system", "be kind"), Message("user", "hello"))


def request(
    messages: tuple[Message, ...] = HELLO, sampling: Sampling | None = None, **more: Any
) -> Request:
    return Request("r", "scripted", messages, sampling=sampling or Sampling(), **more)


async def ask(engine: ScriptedEngine, made: Request) -> list[Delta]:
    deltas: list[Delta] = []
    await engine.connect()
    await engine.complete(made, deltas.append)
    return deltas


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


@pytest.mark.parametrize(
    "replies", ["hi", ["hi"], {"hello": "hi"}, lambda _: "hi", lambda _: Scripted("hi")]
)
async def test_an_answer_by_any_script(replies: Replies) -> None:
    deltas = await ask(ScriptedEngine(replies), request())
    assert [delta.text for delta in deltas] == ["h", "i", ""]
    assert sum(delta.count for delta in deltas) == 3
    assert deltas[-1].ended
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].prompt_tokens == len(CHARACTERS.render(HELLO, open=False))


async def test_answers_in_turn() -> None:
    engine = ScriptedEngine({"hello": ["a", "b"], "bye": "c"})
    said = [text_of(await ask(engine, request())) for _ in range(3)]
    said += [text_of(await ask(engine, request((Message("user", "bye"),))))]
    assert said == ["a", "b", "a", "c"]
    assert len(engine.requests) == 4
    with pytest.raises(RequestRejected, match="no answer to 'what'"):
        await ask(engine, request((Message("user", "what"),)))


async def test_an_open_answer_is_continued() -> None:
    engine = ScriptedEngine({"hello": "hi there"})
    opened = (*HELLO, Message("assistant", "hi "))
    assert text_of(await ask(engine, request(opened, open=True))) == "there"
    texts = ScriptedEngine({"hello": "hi there"}, takes_tokens=False)
    with pytest.raises(Unsupported, match="open answer"):
        await ask(texts, request(opened, open=True))


def test_tokens_are_reversible() -> None:
    opened = (*HELLO, Message("assistant", "hi ⚙"))
    for messages, open in ((HELLO, False), (opened, True), ((*opened, HELLO[1]), False)):
        assert CHARACTERS.parse(CHARACTERS.render(messages, open=open)) == (messages, open)
    prompt = CHARACTERS.render(HELLO, open=False)
    assert CHARACTERS.render(opened, open=True) == prompt + CHARACTERS.encode("hi ⚙")


@pytest.mark.parametrize(
    ("sampling", "text", "finish", "ended"),
    [
        (Sampling(stop=("\n",)), "one\n", "stop", False),
        (Sampling(stop=("tw", "e\n")), "one\n", "stop", False),
        (Sampling(max_tokens=2), "on", "length", False),
        (Sampling(max_tokens=7), "one\ntwo", "length", False),
        (Sampling(max_tokens=8), "one\ntwo", "stop", True),
        (Sampling(max_tokens=4, stop=("\n",)), "one\n", "stop", False),
    ],
)
async def test_limits(sampling: Sampling, text: str, finish: str, ended: bool) -> None:
    deltas = await ask(ScriptedEngine("one\ntwo"), request(sampling=sampling))
    assert text_of(deltas) == text
    assert (deltas[-1].finish_reason, deltas[-1].ended) == (finish, ended)
    assert sum(delta.count for delta in deltas) == len(text) + ended
    tokens = tuple(token for delta in deltas for token in delta.tokens)
    assert CHARACTERS.decode(tokens) == text


async def test_scores_multiply_to_the_whole() -> None:
    scores = {"yes": 0.6, "yeah": 0.1, "no": 0.2}
    engine = ScriptedEngine("", scores)
    prompt = CHARACTERS.render(HELLO, open=False)
    total = 0.0
    for index, token in enumerate(CHARACTERS.encode("yes")):
        tokens = prompt + CHARACTERS.encode("yes")[:index]
        total += (await ask(engine, request(tokens=tokens, ask=(token,))))[0].ask_logprobs[0]
    assert math.exp(total) == pytest.approx(0.6)
    texts = await ask(engine, request(ask_texts=("no", "maybe")))
    assert texts[0].ask_logprobs == (math.log(0.2), -math.inf)
    with pytest.raises(Unsupported, match="scores"):
        await ask(ScriptedEngine("hi"), request(ask_texts=("no",)))


async def test_the_cache_works_in_whole_blocks() -> None:
    engine = ScriptedEngine("", block_size=4, kv_tokens=16)
    tokens = tuple(range(100, 114))
    first = await ask(engine, request(tokens=tokens))
    again = await ask(engine, request(tokens=tokens))
    longer = await ask(engine, request(tokens=(*tokens[:8], 1, 2, 3, 4, 5)))
    short = await ask(engine, request(tokens=tokens[:8]))
    assert [d[-1].cached_tokens for d in (first, again, longer, short)] == [0, 12, 8, 4]
    await ask(engine, request(tokens=tuple(range(200, 216))))
    assert (await ask(engine, request(tokens=tokens)))[-1].cached_tokens == 0


async def test_failures() -> None:
    deltas: list[Delta] = []
    engine = ScriptedEngine([Scripted("hello", dies_after=2), Scripted(refuses="no more")])
    with pytest.raises(EngineUnavailable, match="died"):
        await engine.complete(request(), deltas.append)
    assert text_of(deltas) == "he"
    with pytest.raises(RequestRejected, match="no more"):
        await ask(engine, request())
    with pytest.raises(ContextExceeded, match="holds 10"):
        await ask(ScriptedEngine("a", context=10), request(tokens=(9,) * 10))


async def test_cancelled_and_killed() -> None:
    engine = ScriptedEngine([Scripted(hangs=True)], concurrency=2)
    lost: list[Exception] = []

    async def call() -> None:
        try:
            await engine.complete(request(), lambda _: None)
        except EngineUnavailable as error:
            lost.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        assert (engine.running, engine.waiting) == (2, 1)
        tasks.cancel_scope.cancel()
    assert (engine.running, engine.waiting, engine.cancelled) == (0, 0, 3)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        engine.kill()
    assert len(lost) == 1
    assert engine.cancelled == 3
    assert not await engine.healthy()
    with pytest.raises(EngineUnavailable):
        await engine.connect()
    engine.revive()
    await engine.connect()


def test_time_is_virtual_on_trio() -> None:
    engine = ScriptedEngine("12345", prompt_seconds=1.0, token_seconds=10.0)
    stamps: list[float] = []

    async def main() -> None:
        began = trio.current_time()
        tokens = tuple(range(100, 120))
        await engine.complete(
            request(tokens=tokens), lambda _: stamps.append(trio.current_time() - began)
        )

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert stamps == [30.0, 40.0, 50.0, 60.0, 70.0, 80.0]


# Vocabularies as real models have them


@given(st.text(), st.lists(st.text(min_size=1, max_size=4), max_size=3), st.booleans())
def test_tokens_say_what_they_were_made_of(text: str, pieces: list[str], bytes: bool) -> None:
    vocabulary = Vocabulary(pieces, bytes=bytes)
    tokens = vocabulary.encode(text)
    assert vocabulary.decode(tokens) == text
    messages = (Message("user", text), Message("assistant", text + "."))
    for open in (True, False):
        assert vocabulary.parse(vocabulary.render(messages, open=open)) == (messages, open)
    assert vocabulary.begun(tokens) == b""


async def test_a_stop_string_within_a_token_ends_with_the_token() -> None:
    engine = ScriptedEngine("One.\n\nTwo", pieces=[".\n\n", "ne", "Tw"])
    deltas = await ask(engine, request(sampling=Sampling(stop=("e.\n",), logprobs=0)))
    assert [delta.text for delta in deltas] == ["O", "ne", ".\n\n"]
    assert [delta.finish_reason for delta in deltas] == [None, None, "stop"]
    assert not deltas[-1].ended
    assert [t.token for delta in deltas for t in delta.logprobs] == ["O", "ne", ".\n\n"]


@pytest.mark.parametrize("most", [2, 3, 4, 5])
async def test_an_answer_cut_off_within_a_character_goes_on(most: int) -> None:
    engine = ScriptedEngine(
        lambda r: "a🎉b"[len(r.messages[-1].content) if r.open else 0 :], bytes=True
    )
    async with Pool(engine):
        first = await generate(Prompt.user("q"), max_tokens=most)
        rest = await generate(first.prompt)
    assert first.text == ("a🎉" if most == 5 else "a")
    assert len(first.tokens) == most
    assert (rest.prompt.answer, rest.ended) == ("a🎉b", True)
    assert first.tokens + rest.tokens == engine.vocabulary.encode("a🎉b")
