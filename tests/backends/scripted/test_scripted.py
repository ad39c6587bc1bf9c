from __future__ import annotations

import math
from typing import Any

import anyio
import pytest
import trio
import trio.testing

from weft.backends.scripted import script
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.backends.scripted.script import Replies
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
    assert deltas[-1].prompt_tokens == len(script.render(HELLO, open=False))


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
        assert script.parse(script.render(messages, open=open)) == (messages, open)
    prompt = script.render(HELLO, open=False)
    assert script.render(opened, open=True) == prompt + script.encode("hi ⚙")


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
    assert script.decode(tokens) == text


async def test_scores_multiply_to_the_whole() -> None:
    scores = {"yes": 0.6, "yeah": 0.1, "no": 0.2}
    engine = ScriptedEngine("", scores)
    prompt = script.render(HELLO, open=False)
    total = 0.0
    for index, token in enumerate(script.encode("yes")):
        tokens = prompt + script.encode("yes")[:index]
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
