import pytest

from weft import Pool, Prompt, ScriptedEngine, ToolCall, count, generate, tool
from weft.backends.scripted.engine import Scripted
from weft.errors import UnknownName, Unsupported, UsageError
from weft.types import Media, Request


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


@tool
async def read(path: str) -> str:
    """Read a file."""
    return path


@pytest.mark.parametrize("calls_tools", [True, False])
async def test_tools_count_as_they_are_sent(calls_tools: bool) -> None:
    called = Scripted("", tools=[ToolCall("read", {"path": "a"})]) if calls_tools else CALL

    def reply(request: Request) -> Scripted | str:
        formed = "integer" in str(request.sampling.schema)
        return CALL if formed else called

    engine = ScriptedEngine(reply, calls_tools=calls_tools)
    async with Pool(engine):
        prompt = Prompt.system("You read.").user("q")
        for choice in (None, "required", "none"):
            for asked in (prompt, (await generate(prompt, tools=[read])).prompt.tool("x")):
                expected = await count(asked, tools=[read], tool_choice=choice)
                said = await generate(asked, tools=[read], tool_choice=choice)
                assert expected == said.usage.prompt >= await count(asked)
                assert choice == "none" or expected > await count(asked)
        expected = await count(prompt, tools=[read], returns=int)
        said = await generate(prompt, tools=[read], returns=int)
        assert expected == said.usage.prompt


CALL = '{"calls": [{"name": "read", "arguments": {"path": "a"}}], "answer": ""}'


async def test_an_engine_without_tools_is_asked_for_an_answer_alone():
    engine = ScriptedEngine([CALL, '{"answer": "it is x"}'], calls_tools=False)
    async with Pool(engine):
        first = await generate(Prompt.user("q"), tools=[read])
        said = await generate(
            first.prompt.tools(await first.act()), tools=[read], tool_choice="none"
        )
        assert (said.text, said.calls) == ("it is x", ())
        sent = engine.requests[-1]
        assert sent.sampling.schema is not None
        assert "calls" not in sent.sampling.schema["properties"]
        assert said.usage.cached > len(engine.requests[0].messages[0].content)


async def test_a_text_has_the_tokens_that_it_has_alone():
    async with Pool(ScriptedEngine("x", pieces=["ab", "bees"])):
        assert await count("abbees!") == 3
        assert await count("") == 0
    async with Pool(ScriptedEngine("x", takes_tokens=False)):
        assert await count("word " * 400) == 500


async def test_images_count_where_they_can_be_sent():
    picture = Prompt.user("What is it?", Media("image", "data:image/png;base64,AA=="))
    async with Pool(ScriptedEngine("x", takes_tokens=False)):
        bare = await count(Prompt.user("What is it?"))
        assert await count(picture) >= bare + 1000
    async with Pool(ScriptedEngine("x")):
        with pytest.raises(Unsupported, match="can't hold an image"):
            await count(picture)
