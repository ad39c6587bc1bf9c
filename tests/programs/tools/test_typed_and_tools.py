"""Answers of a type from a model that may call tools first."""

from typing import Any

import pytest
from pydantic import BaseModel

from weft import Pool, Prompt, ScriptedEngine, ToolCall, generate, tool
from weft.backends.scripted.engine import Scripted
from weft.errors import OutputError
from weft.types import Request


class Point(BaseModel):
    x: int
    y: int


class Line(BaseModel):
    ends: list[Point]


@tool
async def measure(name: str) -> int:
    """Measure something."""
    return len(name)


ASKED = Prompt.user("Where?")


@pytest.mark.parametrize("takes_tokens", [True, False])
async def test_calls_and_then_the_value(takes_tokens: bool) -> None:
    def reply(request: Request) -> Scripted:
        if all(m.content != "3" and "\n3" not in m.content for m in request.messages):
            return Scripted(tools=[ToolCall("measure", {"name": "abc"})])
        whole = '{"ends": [{"x": 1, "y": 3}]}'
        return Scripted(f'{{"calls": [], "answer": {whole}}}' if takes_tokens else whole)

    engine = ScriptedEngine(reply, takes_tokens=takes_tokens)
    async with Pool(engine):
        said = await generate(ASKED, tools=[measure], returns=Line)
        assert (said.value, [one.name for one in said.calls]) == (None, ["measure"])
        last = await generate(
            said.prompt.tools(await said.act()), tools=[measure], returns=Line, retries=1
        )
    assert (last.value, last.calls) == (Line(ends=[Point(x=1, y=3)]), ())
    assert last.prompt.answer == '{"ends": [{"x": 1, "y": 3}]}'
    sampling = engine.requests[0].sampling
    assert bool(sampling.tools) is not takes_tokens  # else the model is held to calls and answer
    schema: Any = sampling.schema
    if not takes_tokens:
        assert schema["required"] == ["ends"]
        return
    form, nothing = schema["properties"]["answer"]["anyOf"]
    assert nothing == {"type": "null"}
    assert form["properties"]["ends"]["items"] == {"$ref": "#/$defs/answer:Point"}
    assert schema["$defs"]["answer:Point"]["required"] == ["x", "y"]


async def test_an_answer_of_another_type_is_mended_among_tools() -> None:
    answers = ['{"calls": [], "answer": {"x": 1}}', '{"calls": [], "answer": {"x": 1, "y": 2}}']
    async with Pool(ScriptedEngine(answers)):
        said = await generate(ASKED, tools=[measure], returns=Point, retries=1)
    assert (said.value, said.usage.calls) == (Point(x=1, y=2), 2)


async def test_an_answer_under_an_object_of_weft() -> None:
    async with Pool(ScriptedEngine('{"calls": [], "answer": {"answer": [1, 2]}}')):
        said = await generate(ASKED, tools=[measure], returns=list[int])
    assert said.value == [1, 2]


async def test_neither_calls_nor_an_answer() -> None:
    async with Pool(ScriptedEngine('{"calls": [], "answer": null}')):
        with pytest.raises(OutputError, match="no Point"):
            await generate(ASKED, tools=[measure], returns=Point)


async def test_several_samples_and_a_choice_against_calls() -> None:
    engine = ScriptedEngine('{"x": 1, "y": 2}')
    async with Pool(engine):
        found: Any = await generate(ASKED, n=2, returns=Point, tools=[measure], tool_choice="none")
    assert [one.value for one in found] == [Point(x=1, y=2)] * 2
