"""VLLMEngine against real vLLM: two replicas of the shipped model on this machine's CPU."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from weft.backends.local.launch import launch
from weft.backends.vllm import VLLMEngine
from weft.errors import ContextExceeded, EngineUnavailable, RequestRejected, WrongModel
from weft.types import Delta, Message, Request, Sampling

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SOLVE = (Message("user", "solve 15 9 11 17 for 47"),)
GREEDY = Sampling(max_tokens=48, temperature=0.0)
ENDLESS = Sampling(temperature=2.0, ignore_eos=True)
"""An answer up to the context's end, which takes seconds: it does not end before it is left."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[VLLMEngine]:
    engine = VLLMEngine(url)
    await engine.connect()
    try:
        yield engine
    finally:
        await engine.aclose()


@pytest.fixture
async def engine(replicas: list[str]) -> AsyncIterator[VLLMEngine]:
    async with connected(replicas[0]) as one:
        yield one


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def tokens_of(deltas: list[Delta]) -> tuple[int, ...]:
    return tuple(token for delta in deltas for token in delta.tokens)


async def ask(engine: VLLMEngine, request: Request) -> list[Delta]:
    deltas: list[Delta] = []
    await engine.complete(request, deltas.append)
    assert deltas[-1].finish_reason is not None
    return deltas


def request(tokens: tuple[int, ...], sampling: Sampling = GREEDY, **more: object) -> Request:
    made = Request("test", "countdown", SOLVE, tokens=tokens, sampling=sampling)
    return replace(made, **more)


async def until_running(engine: VLLMEngine, some: bool) -> None:
    """Wait until the engine says that requests run, or that none does."""
    while bool((await engine.load()).running) != some:  # noqa: ASYNC110
        await anyio.sleep(0.01)


async def test_what_connect_learns(engine: VLLMEngine) -> None:
    assert engine.model == "countdown"
    assert engine.context == 2048
    assert engine.block_size == 32
    assert engine.kv_tokens is not None
    assert engine.kv_tokens >= 2048
    assert await engine.healthy()
    with pytest.raises(WrongModel, match="'countdown', not 'other'"):
        await VLLMEngine(engine.url, "other").connect()


async def test_a_continued_answer_is_the_one_shot_answer(engine: VLLMEngine) -> None:
    prompt = await engine.render(SOLVE, open=False)
    whole = await ask(engine, request(prompt))
    assert tokens_of(whole) == await engine.tokenize(text_of(whole))
    ended = whole[-1].ended
    assert sum(delta.count for delta in whole) == len(tokens_of(whole)) + ended
    assert whole[-1].prompt_tokens == len(prompt)

    step = await ask(engine, request(prompt, replace(GREEDY, stop=("\n",))))
    assert text_of(step).endswith("\n")
    assert step[-1].finish_reason == "stop"
    assert not step[-1].ended
    longer = prompt + tokens_of(step)
    opened = (*SOLVE, Message("assistant", text_of(step)))
    assert longer == await engine.render(opened, open=True)
    left = replace(GREEDY, max_tokens=48 - len(tokens_of(step)))
    rest = await ask(engine, request(longer, left))
    assert tokens_of(step) + tokens_of(rest) == tokens_of(whole)
    assert text_of(step) + text_of(rest) == text_of(whole)


async def test_an_open_answer_with_nothing_in_it(engine: VLLMEngine) -> None:
    opened = (*SOLVE, Message("assistant", ""))
    assert await engine.render(opened, open=True) == await engine.render(SOLVE, open=False)
    spaced = (*SOLVE, Message("assistant", "15 + "))
    prompt = await engine.render(SOLVE, open=False)
    assert await engine.render(spaced, open=True) == prompt + await engine.tokenize("15 + ")
    assert await engine.tokenize("") == ()


async def test_a_prefix_is_found_in_the_cache(engine: VLLMEngine) -> None:
    said = Message("user", "think 3 5 7 9 for 24 " * 20)
    prompt = await engine.render((said,), open=False)
    assert len(prompt) > 3 * engine.block_size
    sampling = Sampling(max_tokens=8)
    first = await ask(engine, request(prompt, sampling))
    again = await ask(engine, request(prompt + tokens_of(first), sampling))
    cached = again[-1].cached_tokens
    assert cached is not None
    assert cached > 0
    assert cached % engine.block_size == 0
    assert again[-1].prompt_tokens == len(prompt) + len(tokens_of(first))


async def test_cancelling_frees_the_engine(engine: VLLMEngine) -> None:
    prompt = await engine.render(SOLVE, open=False)
    begun = anyio.Event()
    long = request(prompt, ENDLESS)
    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(engine.complete, long, lambda _: begun.set())
        await begun.wait()
        await until_running(engine, True)
        tasks.cancel_scope.cancel()
    await until_running(engine, False)


async def test_scores_are_the_logprobs_of_generation(engine: VLLMEngine) -> None:
    verify = (Message("user", "verify 15 9 11 17 for 47\n11 - 9 = 2 | 15 17 2\n"),)
    prompt = await engine.render(verify, open=False)
    options = [(await engine.tokenize(text))[0] for text in ("yes", "no")]
    scored = await ask(engine, request(prompt, Sampling(max_tokens=1), ask=(*options, options[0])))
    yes, no, again = scored[0].ask_logprobs
    assert yes == again
    plain = await ask(engine, request(prompt, Sampling(max_tokens=1, temperature=0, logprobs=20)))
    top = plain[0].logprobs[0].top
    assert top["yes"] == pytest.approx(yes, abs=1e-4)
    assert top["no"] == pytest.approx(no, abs=1e-4)
    assert math.exp(yes) + math.exp(no) <= 1.0001


async def test_logprobs_come_one_a_token(engine: VLLMEngine) -> None:
    prompt = await engine.render(SOLVE, open=False)
    alone = await ask(engine, request(prompt, replace(GREEDY, logprobs=0)))
    reported = [one for delta in alone for one in delta.logprobs]
    assert len(reported) == len(tokens_of(alone))
    assert "".join(one.token for one in reported) == text_of(alone)
    assert all(one.logprob <= 0 and not one.top for one in reported)


async def test_a_seed_fixes_the_answer(engine: VLLMEngine) -> None:
    prompt = await engine.render(SOLVE, open=False)
    answers = [
        tokens_of(await ask(engine, request(prompt, Sampling(max_tokens=24, seed=seed))))
        for seed in (7, 7, 8, 9, 10)
    ]
    assert answers[0] == answers[1]
    assert len(set(answers)) > 1


async def test_a_schema_is_followed(engine: VLLMEngine) -> None:
    prompt = await engine.render(SOLVE, open=False)
    schema = {"enum": ["red", "blue"]}
    done = await ask(engine, request(prompt, Sampling(max_tokens=16, schema=schema)))
    assert text_of(done) in ('"red"', '"blue"')


async def test_a_prompt_beyond_the_context(engine: VLLMEngine) -> None:
    with pytest.raises(ContextExceeded, match="2048 with the answer"):
        await ask(engine, request((30,) * 2048))
    engine.context = None  # so that the server is asked
    with pytest.raises(ContextExceeded, match="of 5000 tokens"):
        await ask(engine, request((30,) * 5000))


async def test_a_refusal_says_why(engine: VLLMEngine) -> None:
    with pytest.raises(RequestRejected, match="top_p"):
        await ask(engine, request((2, 30, 3), Sampling(max_tokens=4, top_p=7.0)))


async def test_two_replicas_agree(replicas: list[str]) -> None:
    answers: list[tuple[int, ...]] = []
    for url in replicas:
        async with connected(url) as engine:
            prompt = await engine.render(SOLVE, open=False)
            answers.append(tokens_of(await ask(engine, request(prompt))))
    assert len(replicas) == 2
    assert answers[0] == answers[1]


@pytest.mark.loops("asyncio")
async def test_a_replica_that_cannot_start_says_why(countdown: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEFT_HOME", str(tmp_path))
        with pytest.raises(EngineUnavailable, match="max_model_len") as raised:
            async with launch(countdown, replicas=1, max_model_len=10**6):
                raise AssertionError("it started")
    assert "replica-0.log" in str(raised.value)
