import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, RootModel, field_validator
from typing_extensions import TypedDict

from weft import Pool, Prompt, ScriptedEngine, Store, generate, run
from weft.errors import OutputError, UsageError


class Read(BaseModel):
    path: str


class Edit(BaseModel):
    path: str
    text: str


class Tree(BaseModel):
    name: str
    below: list["Tree"] = []


class Even(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def _even(cls, x: int) -> int:
        if x % 2:
            raise ValueError("must be even")
        return x


class Answer(BaseModel):
    """Has the field that weft's own object has."""

    answer: int


class Places(TypedDict):
    x: int


@dataclass
class Pair:
    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("returns", "text", "value"),
    [
        (
            Read | Edit | list[int],
            '{"answer": {"path": "a", "text": "b"}}',
            Edit(path="a", text="b"),
        ),
        (Read | Edit | list[int], "Take [1, 2].", [1, 2]),
        (Literal["yes", "no"], '{"answer": "yes"}', "yes"),
        (Literal["yes", "no"], "no", "no"),
        (Annotated[int, Field(gt=3)], "4", 4),
        (bool, "true", True),
        (date, '"2024-02-29"', date(2024, 2, 29)),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (RootModel[list[int]], '{"answer": [1]}', RootModel[list[int]]([1])),
        (Answer | None, '{"answer": {"answer": 3}}', Answer(answer=3)),
        (Answer | None, '{"answer": 3}', Answer(answer=3)),
        (Answer | None, '{"answer": null}', None),
        (Tree, '{"name": "a", "below": [{"name": "b"}]}', Tree(name="a", below=[Tree(name="b")])),
        (Pair, '{"x": 1}', Pair(1)),
        (Places, '{"x": 1}', {"x": 1}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
    ],
)
async def test_a_value_of_any_type_under_the_schema_of_an_object(returns, text, value):
    engine = ScriptedEngine(text)
    async with Pool(engine):
        said = await generate(Prompt.user("q"), returns=returns)
    assert said.value == value
    assert type(said.value) is type(value)
    assert (said.text, said.prompt.answer, said.usage.calls) == (text, text, 1)
    schema = engine.requests[0].sampling.schema
    assert schema is not None
    assert schema["type"] == "object"


async def test_without_a_type_the_value_is_the_text():
    async with Pool(ScriptedEngine("12")):
        assert (await generate(Prompt.user("q"))).value == "12"


async def test_the_model_is_shown_what_is_wrong_and_its_tokens_stay():
    engine = ScriptedEngine(['{"x": 1}', '{"y": 2}', '{"x": 4}'])
    async with Pool(engine):
        said = await generate(Prompt.user("q"), returns=Even, retries=2)
    assert said.value == Even(x=4)
    first, second, third = engine.requests
    assert "- x: Value error, must be even" in second.messages[-1].content
    assert "- x: Field required" in third.messages[-1].content
    assert [m.role for m in third.messages] == ["user", "assistant"] * 2 + ["user"]
    assert said.prompt.messages[:-1] == third.messages
    # What was produced goes back as it was, so that all of it is found in the engine's cache.
    for before, after, produced in ((first, second, '{"x": 1}'), (second, third, '{"y": 2}')):
        whole = (*(before.tokens or ()), *await engine.tokenize(produced))
        assert (after.tokens or ())[: len(whole)] == whole
    assert said.usage.calls == 3
    assert said.usage.completion == 3 * len('{"x": 1}e')


async def test_an_error_has_the_completion_and_all_that_is_wrong():
    engine = ScriptedEngine(['{"x": 1, "y": "b"}', '{"x": "a", "y": "b"}'])
    async with Pool(engine):
        with pytest.raises(OutputError, match="the answer is no Pair: x: ") as caught:
            await generate(Prompt.user("q"), returns=Pair, retries=1)
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.completion.text == '{"x": "a", "y": "b"}'
    assert [one.split(":")[0] for one in error.errors] == ["x", "y"]
    assert len(engine.requests) == 2


@pytest.mark.parametrize(
    ("answers", "limit", "shown"),
    [
        (["", "7"], None, "before it began"),
        (["<think>5 or", "7"], 9, "within its thinking"),
        (["123456", "7"], 2, "answer more briefly"),
    ],
)
async def test_what_gave_no_answer_is_asked_for_again(answers, limit, shown):
    engine = ScriptedEngine(answers)
    async with Pool(engine):
        said = await generate(Prompt.user("q"), returns=int, retries=1, max_tokens=limit)
    assert said.value == 7
    assert shown in engine.requests[1].messages[-1].content
    assert all(m.content for m in engine.requests[1].messages)


async def test_each_sample_is_mended_by_itself():
    engine = ScriptedEngine(["1", "x", "3", "2"])
    async with Pool(engine):
        said = await generate(Prompt.user("q"), returns=int, n=3, retries=1)
    assert sorted(one.value for one in said) == [1, 2, 3]
    assert sorted(one.usage.calls for one in said) == [1, 1, 2]


async def test_a_mended_answer_is_paid_once():
    async def program() -> Even:
        return (await generate(Prompt.user("q"), returns=Even, retries=1)).value

    engine = ScriptedEngine(['{"x": 1}', '{"x": 2}'])
    async with Pool(engine, store=Store()) as pool:
        for _ in range(2):
            done = await run(program, pool=pool)
            assert done.value == Even(x=2)
            assert done.usage.calls == 2
    assert len(engine.requests) == 2


async def test_equal_unions_of_another_order_keep_their_own_schema():
    engine = ScriptedEngine("1")
    async with Pool(engine):
        for returns in (int | str, str | int):
            await generate(Prompt.user("q"), returns=returns)
    first, second = [str(r.sampling.schema) for r in engine.requests]
    assert first != second


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"returns": 5}, "returns=5 must be a type"),
        ({"returns": "Point"}, "returns='Point' must be a type"),
        ({"returns": Callable[[int], int]}, "must be a type of which pydantic knows a schema"),
        ({"returns": len}, "it is a function"),
        ({"returns": int, "schema": {}}, "give schema, .* or returns, not both"),
        ({"returns": int, "retries": -1}, "retries=-1 must be at least 0"),
        ({"returns": int, "retries": "2"}, "retries='2' must be a whole number"),
        ({"retries": 2}, "say which by returns"),
    ],
)
async def test_what_is_no_type(arguments: Any, message: str):
    async with Pool(ScriptedEngine("1")):
        with pytest.raises(UsageError, match=message):
            await generate(Prompt.user("q"), **arguments)
