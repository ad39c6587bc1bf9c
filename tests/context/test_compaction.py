"""Compaction: what stays is the same, what fits is left alone, and no call loses its result."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import Pool, Prompt, ScriptedEngine, Store, ToolCall, count, generate, run, tool
from weft.backends.scripted.engine import Scripted
from weft.context import compact, grafted, turns
from weft.context.compaction import ASK, GO_ON, SUMMARY
from weft.errors import OutputError, RequestRejected, UsageError
from weft.programs.calls.tokens import token_ids
from weft.types import Message, Request

TASK = Prompt.system("You fix bugs, one after the other.").user("Fix all of them.")


@tool
async def read(path: str) -> str:
    """Read a file."""
    return path


def worked(prompt: Prompt, steps: int, size: int = 60) -> Prompt:
    """An agent that has made so many calls of its tool."""
    for at in range(steps):
        calls = [ToolCall("read", {"path": f"{at}.py"}, id=f"c{at}")]
        prompt = prompt.assistant(f"Step {at}.", calls=calls).tool("x" * size, call=f"c{at}")
    return prompt


def summariser(said: str = "All read.") -> ScriptedEngine:
    def reply(request: Request) -> str:
        return said if request.messages[-1].content == ASK else "done"

    return ScriptedEngine(reply)


async def shortened(prompt: Prompt) -> Prompt:
    return await compact(prompt, limit=1300, summary_tokens=100, tools=[read])


async def test_the_prefix_stays_and_the_summary_comes_from_the_cache() -> None:
    prompt = worked(TASK, 16)
    async with Pool(engine := summariser()) as pool:
        before = await generate(prompt, tools=[read])
        done = await run(shortened, prompt, pool=pool)
        made = done.value
        assert await count(made, tools=[read]) <= 650
        # The model was asked behind the very turns that it summarises, with the tools before them.
        asked = engine.requests[-1]
        assert asked.messages[:2] == prompt.messages[:2]
        assert asked.sampling.tool_choice == "none"
        assert done.usage.calls == 1
        assert done.usage.prompt - done.usage.cached < len(ASK) + 2 * engine.block_size
        (node,) = [event for event in done.events if event.kind == "node"]
        assert node.data["name"] == "compaction"
        assert asked.sender.stage == "compaction"
        after = await generate(made, tools=[read])
    head = len(engine.vocabulary.render(prompt.messages[:2], open=False))
    assert after.usage.cached >= head // engine.block_size * engine.block_size
    assert before.usage.prompt > after.usage.prompt
    assert [one.content for one in made.messages[:3]] == [
        *(one.content for one in prompt.messages[:2]),
        f"{SUMMARY}All read.",
    ]
    assert made.messages[3].content == GO_ON
    kept = made.messages[4:]
    assert kept
    assert kept == prompt.messages[-len(kept) :]


async def test_below_the_limit_nothing_happens_and_twice_is_once() -> None:
    async with Pool(engine := summariser()):
        prompt = worked(TASK, 12)
        size = await count(prompt)
        assert await compact(prompt, limit=size, summary_tokens=64) is prompt
        assert not engine.requests
        made = await compact(prompt, limit=size - 1, summary_tokens=64)
        assert made is not prompt
        assert await compact(made, limit=size - 1, summary_tokens=64) is made
        assert len(engine.requests) == 1


async def test_a_tools_schema_counts() -> None:
    async with Pool(summariser()):
        prompt = worked(TASK, 6)
        limit = await count(prompt) + 1
        assert await compact(prompt, limit=limit, summary_tokens=64) is prompt
        assert await compact(prompt, limit=limit, summary_tokens=64, tools=[read]) is not prompt


async def test_produced_tokens_stay_produced() -> None:
    engine = ScriptedEngine(lambda request: "s" if ASK in str(request) else "a" * 40)
    async with Pool(engine) as pool:
        prompt = Prompt.user("go")
        for _ in range(8):
            prompt = (await generate(prompt)).prompt.user("on " * 9)
        made = await compact(prompt, limit=400, summary_tokens=40)
        assert await count(made) <= 200
        kept = turns(made)[2:]
        assert any(piece.tokens for turn in kept for piece in turn)
        assert [p.tokens for t in kept for p in t] == [
            p.tokens for t in turns(prompt)[-len(kept) :] for p in t
        ]
        # What was produced stands in the new prompt as it was.
        ids = await token_ids(made, pool, "scripted")
        text = engine.vocabulary.decode(ids)
        assert text.count("a" * 40) == sum(1 for t in kept if t[0].role == "assistant")


async def test_a_users_function_reads_the_turns_that_go() -> None:
    seen: list[Message] = []

    async def summary(gone: Sequence[Message]) -> str:
        seen.extend(gone)
        return "mine"

    def given(text: Any) -> Coroutine[Any, Any, Prompt]:
        return compact(prompt, limit=700, summary=lambda gone: text, summary_tokens=50)

    async with Pool(engine := summariser()):
        prompt = worked(TASK, 8)
        made = await compact(prompt, limit=700, summary=summary, summary_tokens=50)
        assert await given("mine") == made
        assert not engine.requests
        with pytest.raises(UsageError, match="summary must give a text, not 7"):
            await given(7)
        with pytest.raises(UsageError, match="have `summary` write less"):
            await given("x" * 999)
    assert tuple(seen) == prompt.messages[2 : 2 + len(seen)]
    assert made.messages[2].content == f"{SUMMARY}mine"


async def test_what_can_not_be_compacted_is_told_before_any_call() -> None:
    long = Prompt.user("x" * 500)
    async with Pool(engine := summariser()):
        with pytest.raises(UsageError, match="no turn between those kept"):
            await compact(long, limit=100, summary_tokens=10)
        late = Prompt.user("a").assistant("b" * 30).user("x" * 500)
        with pytest.raises(UsageError, match="shorten the last turn"):
            await compact(late, limit=100, summary_tokens=10)
        for wrong in ({"limit": 0}, {"to": 101}, {"keep": -1}, {"summary_tokens": 100}):
            settings: dict[str, Any] = {"limit": 100, "summary_tokens": 10, **wrong}
            with pytest.raises(UsageError, match=f"compact {next(iter(wrong))}="):
                await compact(long, **settings)
        assert not engine.requests


async def test_a_summary_that_is_not_there_is_an_error_and_the_prompt_is_kept() -> None:
    prompt = worked(TASK, 8)
    async with Pool(summariser("  ")):
        with pytest.raises(OutputError, match="the summary is empty"):
            await compact(prompt, limit=700, summary_tokens=50)
    async with Pool(ScriptedEngine(lambda request: Scripted(refuses="no"))):
        with pytest.raises(RequestRejected):
            await compact(prompt, limit=700, summary_tokens=50)


async def test_a_rerun_takes_the_summary_from_the_store() -> None:
    async def program() -> Prompt:
        return await compact(worked(TASK, 8), limit=700, summary_tokens=50)

    async with Pool(engine := summariser(), store=Store()) as pool:
        first = await run(program, pool=pool)
        again = await run(program, pool=pool)
    assert first.value == again.value
    assert first.usage == again.usage
    assert len(engine.requests) == 1


@st.composite
def conversations(draw: st.DrawFn) -> Prompt:
    """Turns as agents have them: calls with results, pieces of answers, turns of users."""
    prompt = Prompt.system("s" * 9) if draw(st.booleans()) else Prompt()
    prompt = prompt.user("first")
    for at, kind in enumerate(draw(st.lists(st.sampled_from("acpu"), max_size=12))):
        size = draw(st.integers(1, 60))
        if kind == "u":
            prompt = prompt.user("u" * size)
        elif kind == "c":
            calls = [ToolCall("read", {"path": "p"}, id=f"{at}.{n}") for n in range(2)]
            prompt = prompt.assistant("c", calls=calls)
            for call in calls:
                prompt = prompt.tool("t" * size, call=call.id)
        elif kind == "p":
            prompt = prompt.assistant("p" * size, open=True).assistant("q", open=True)
        else:
            prompt = prompt.assistant("a" * size)
    return prompt


@given(prompt=conversations(), limit=st.integers(60, 400), keep=st.integers(0, 3))
async def test_whatever_the_conversation(prompt: Prompt, limit: int, keep: int) -> None:
    async with Pool(engine := summariser("short")):
        try:
            made = await compact(prompt, limit=limit, keep=keep, summary_tokens=20)
        except UsageError:
            assert not engine.requests
            assert await count(prompt) > limit
            return
        assert await count(made) <= limit
        if made is prompt:
            return
        assert await compact(made, limit=limit, keep=keep, summary_tokens=20) is made
    whole, left = turns(prompt), turns(made)
    system = whole[0][0].role == "system"
    stay = keep + system
    assert left[:stay] == whole[:stay]  # the very same Prompts: every byte
    added = next(at for at, turn in enumerate(left) if turn[-1].text.startswith(SUMMARY))
    follows = left[added + 1 :]
    if follows[0][0].text == GO_ON:
        follows = follows[1:]
    before = whole[-len(follows) :]
    assert grafted(Prompt(), chain(*follows)) == grafted(Prompt(), chain(*before))
    asked = {call.id for one in made.messages for call in one.calls}
    assert asked == {one.call for one in made.messages if one.role == "tool"}

    def twice(one: Prompt) -> int:
        roles = [message.role for message in one.messages]
        return sum(a == b != "tool" for a, b in pairwise(roles))

    assert twice(made) <= twice(prompt)
