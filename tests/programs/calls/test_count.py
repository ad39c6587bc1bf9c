import pytest

from weft import Pool, Prompt, ScriptedEngine, count, generate
from weft.errors import UnknownName, UsageError


async def test_the_count_is_what_the_next_call_sends():
    engine = ScriptedEngine(["an answer", "another"])
    async with Pool(engine):
        prompt = Prompt.system("You answer.").user("q")
        while True:
            expected = await count(prompt)
            assert len(engine.requests) == len(prompt) // 2 - 1
            said = await generate(prompt)
            assert expected == said.usage.prompt == len(engine.requests[-1].tokens or ())
            assert await count(said.prompt) == expected + len(said.tokens)
            if len(engine.requests) == 2:
                break
            prompt = said.prompt.user("go on")


async def test_of_text_it_is_learned_from_answers():
    async with Pool(ScriptedEngine("x", takes_tokens=False)):
        prompt = Prompt.user("word " * 400)
        used = [(await generate(prompt)).usage.prompt for _ in range(8)][-1]
        assert abs(await count(prompt) - used) <= used / 10


async def test_what_can_not_be_counted():
    async with Pool(ScriptedEngine("x")):
        with pytest.raises(UsageError, match="prompt is empty"):
            await count(Prompt())
        with pytest.raises(UnknownName, match="unknown role"):
            await count(Prompt.user("x"), role="judge")
