"""Text, ids and log-probabilities agree, and continuing loses nothing, whatever the tokens are."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from weft import Completion, Pool, Prompt, ScriptedEngine, Store, generate, run
from weft.types import Request

TEXTS = st.text(st.sampled_from("ab\n. é中🎉"), min_size=1, max_size=24)
PIECES = st.lists(st.text(st.sampled_from("ab\n. é🎉"), min_size=2, max_size=4), max_size=4)
STEPS = st.lists(
    st.tuples(st.integers(1, 6), st.lists(st.sampled_from(["\n", "a", ". ", "é", "b\n"]))),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@given(TEXTS, PIECES, st.booleans(), STEPS)
@example("aa中🎉éa", [], True, [(4, []), (6, []), (2, ["é"])])
@settings(max_examples=25)
def test_an_answer_in_parts_is_the_answer(
    loop: str,
    text: str,
    pieces: list[str],
    bytes: bool,
    steps: list[tuple[int, list[str]]],
) -> None:
    def rest(request: Request) -> str:
        return text[len(request.messages[-1].content) if request.open else 0 :]

    async def in_parts() -> list[Completion]:
        parts: list[Completion] = []
        prompt = Prompt.user("q")
        for most, stop in [*steps, (1000, [])]:
            parts.append(await generate(prompt, max_tokens=most, stop=stop, logprobs=0))
            prompt = parts[-1].prompt
            if parts[-1].ended:
                break
        return parts

    async def twice() -> None:
        engine = ScriptedEngine(rest, pieces=pieces, bytes=bytes)
        async with Pool(engine, store=Store()) as pool:
            parts = (await run(in_parts, pool=pool)).value
            sent = len(engine.requests)
            again = (await run(in_parts, pool=pool)).value
        assert len(engine.requests) == sent
        assert [(p.text, p.tokens) for p in again] == [(p.text, p.tokens) for p in parts]
        assert parts[-1].ended
        assert "".join(p.text for p in parts) == parts[-1].prompt.answer == text
        whole = engine.vocabulary.encode(text)
        assert sum((p.tokens for p in parts), ()) == whole
        prompt, written = tuple(engine.requests[0].tokens or ()), 0
        for part, (most, stop), request in zip(
            parts, [*steps, (1000, [])], engine.requests, strict=False
        ):
            assert request.tokens == prompt + whole[:written]
            written += len(part.tokens)
            assert len(part.logprobs) == len(part.tokens) <= most
            assert "".join(t.token for t in part.logprobs) == part.text
            found = [part.text.find(one) + len(one) for one in stop if one in part.text]
            if found:  # the text goes on to the end of the token, and no further
                last = engine.vocabulary.raw(part.tokens[-1]).decode(errors="replace")
                assert len(part.text) - min(found) < max(1, len(last))

    anyio.run(twice, backend=loop)
