"""What `weft.context` promises of the engine's cache, on real vLLM."""

from __future__ import annotations

import anyio
import pytest

from weft import Pool, Prompt, count, generate
from weft.context import added, compact, warm
from weft.programs.calls.tokens import token_ids
from weft.threads import tim

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.loops("asyncio"),
]


async def test_prefixes_stay_in_the_cache(bpe_replica: str) -> None:
    stable = Prompt.system("Rules hold for bees, and for ants. " * 20).user("Documents:")
    async with Pool(bpe_replica) as pool:
        block = pool.engines[0].block_size

        async def ids(prompt: Prompt) -> tuple[int, ...]:
            return await token_ids(prompt, pool, pool.model("solver"))

        async def found(prompt: Prompt, beginning: Prompt) -> None:
            """The next call is as long as was counted, and finds its beginning in the cache."""
            expected = await count(prompt)
            said = await generate(prompt, max_tokens=4)
            assert said.usage.prompt == expected
            begun, whole = await ids(beginning), await ids(prompt)
            pairs = enumerate(zip(begun, whole, strict=False))
            shared = next((at for at, (a, b) in pairs if a != b), len(begun))
            assert shared > await count(beginning) - block  # less what opens an answer
            assert said.usage.cached >= shared // block * block

        async with warm(stable) as context:
            while not pool.scheduler.in_flight:  # noqa: ASYNC110
                await anyio.sleep(0.001)
            context.append("Bees fly, and ants walk. " * 10)
        await found(added(context.prompt, "What flies?"), stable)

        prompt = stable
        for _ in range(6):
            prompt = (await generate(prompt, max_tokens=60)).prompt.user("Go on with that. " * 9)
        size = await count(prompt)
        made = await compact(prompt, limit=size - 1, to=size * 3 // 4, summary_tokens=32)
        assert await count(made) <= size * 3 // 4 + 16
        assert await compact(made, limit=size - 1, summary_tokens=32) is made
        await found(made, stable)

        # The recursive schema is one that the engine can hold a model to.
        done = await tim(Prompt.user("Count the bees."), steps=2, step_tokens=48)
        assert done.details["steps"] <= 2
        assert done.text or done.tokens
