"""Tools at chat endpoints: calls in the forms in which endpoints write them, and refusals."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hosted_endpoint import USED, Endpoint, chunk, data, error, serving
from weft import Completion, Pool, Prompt, generate, run, tool
from weft.backends.openai import OpenAIEngine


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint()) as made:
        yield made


@tool
async def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


@tool
async def now() -> str:
    """The time."""
    return "noon"


def piece(index: int | None = None, id: str | None = None, **function: Any) -> dict[str, Any]:
    """A piece of a call."""
    given = {"index": index, "id": id}
    return {k: v for k, v in given.items() if v is not None} | {"function": function}


def calls(*pieces: dict[str, Any], finish: str = "tool_calls") -> bytes:
    """A stream with an event for each piece."""
    return data(*[chunk(tool_calls=[one]) for one in pieces], chunk(finish), USED, "[DONE]")


WHOLE = {
    "choices": [
        {
            "message": {
                "content": None,
                "tool_calls": [
                    piece(id="x", name="add", arguments='{"a": 1}'),
                    piece(id="y", name="now", arguments=""),
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": USED["usage"],
}
FORMS = {
    "as OpenAI does": calls(
        piece(0, "x", name="add", arguments=""),
        piece(0, arguments='{"a"'),
        piece(0, arguments=": 1}"),
        piece(1, "y", name="now", arguments="{}"),
    ),
    "without index": calls(
        piece(id="x", name="add", arguments='{"a": '),
        piece(arguments="1}"),
        piece(id="y", name="now"),
        finish="stop",
    ),
    "one index for all": calls(
        piece(0, "x", name="add", arguments='{"a": 1}'), piece(0, "y", name="now", arguments="{}")
    ),
    "neither index nor id": calls(
        piece(name="add", arguments='{"a": 1}'), piece(name="now", arguments="{}")
    ),
    "one id for all": calls(
        piece(0, "x", name="add", arguments='{"a": 1}'), piece(1, "x", name="now", arguments="{}")
    ),
    "name and id with each piece": calls(
        piece(0, "x", name="add", arguments='{"a": '),
        piece(0, "x", name="add", arguments="1}"),
        piece(1, "y", name="now", arguments="{}"),
    ),
    "pieces of two calls in turn": calls(
        piece(0, "x", name="add", arguments='{"a"'),
        piece(1, "y", name="now", arguments="{"),
        piece(0, arguments=": 1}"),
        piece(1, arguments="}"),
    ),
    "arguments as an object": calls(
        piece(0, "x", name="add", arguments={"a": 1}), piece(1, "y", name="now", arguments={})
    ),
    "all said again at the end": calls(
        piece(0, "x", name="add", arguments='{"a": 1}'), piece(1, "y", name="now", arguments="{}")
    ).replace(b"data: [DONE]", data(WHOLE) + b"data: [DONE]"),
    "no stream at all": json.dumps(WHOLE).encode(),
}


async def agent() -> tuple[Completion, list[str]]:
    said = await generate(Prompt.user("q"), tools=[add, now])
    results = await said.act()
    await generate(said.prompt.tools(results), tools=[add, now])
    return said, [one.text for one in results]


@pytest.mark.parametrize("form", FORMS)
async def test_calls_in_many_forms(endpoint: Endpoint, form: str):
    first, last = FORMS[form], data(chunk(content="done"), chunk("stop"), USED)
    endpoint.answer = lambda body: first if len(body["messages"]) == 1 else last
    endpoint.kind = "application/json" if form == "no stream at all" else endpoint.kind
    async with Pool(OpenAIEngine("m", endpoint.url, "k")) as pool:
        if form == "no stream at all":
            said = (await run(generate, Prompt.user("q"), tools=[add, now], pool=pool)).value
            assert [(one.name, one.arguments) for one in said.calls] == [
                ("add", {"a": 1}),
                ("now", {}),
            ]
            return
        said, texts = (await run(agent, pool=pool)).value
    assert (said.finish_reason, said.text, texts) == ("tool_calls", "", ["1", "noon"])
    sent, again = endpoint.bodies
    assert [one["function"]["name"] for one in sent["tools"]] == ["add", "now"]
    _, called, *told = again["messages"]
    ids = [one["id"] for one in called["tool_calls"]]
    assert len({*ids, ""}) == 3
    assert [(one["role"], one["tool_call_id"]) for one in told] == [("tool", id) for id in ids]
    assert [json.loads(one["function"]["arguments"]) for one in called["tool_calls"]] == [
        {"a": 1},
        {},
    ]


async def test_arguments_that_are_cut_off_are_an_error_and_go_back_as_an_object(endpoint: Endpoint):
    endpoint.answer = calls(piece(0, "x", name="add", arguments='{"a": '), finish="length")
    async with Pool(OpenAIEngine("m", endpoint.url, "k")) as pool:
        _, texts = (await run(agent, pool=pool)).value
    assert "was cut off" in texts[0]
    (call,) = endpoint.bodies[1]["messages"][1]["tool_calls"]
    assert call["function"]["arguments"] == "{}"


@pytest.mark.parametrize("choice", ["required", "add"])
async def test_a_choice_is_told_in_openais_form(endpoint: Endpoint, choice: str):
    async with Pool(OpenAIEngine("m", endpoint.url, "k")):
        await generate(Prompt.user("q"), tools=[add], tool_choice=choice)
    named = {"type": "function", "function": {"name": "add"}}
    assert endpoint.bodies[0]["tool_choice"] == (named if choice == "add" else choice)


@pytest.mark.parametrize(
    "words",
    [
        "registry/gemma:2b does not support tools",
        "No endpoints found that support tool use",
        "Unrecognized request argument supplied: tools",
    ],
)
async def test_an_endpoint_that_takes_no_tools_is_told_in_words(endpoint: Endpoint, words: str):
    answer = json.dumps({"calls": [{"name": "add", "arguments": {"a": 2}}], "answer": ""})
    endpoint.refuse = lambda body: error(words) if "tools" in body else None
    endpoint.answer = data(chunk(content=answer), chunk("stop"), USED)
    async with Pool(OpenAIEngine("m", endpoint.url, "k")):
        said = await generate(Prompt.user("q"), tools=[add])
        assert [(one.name, one.arguments) for one in said.calls] == [("add", {"a": 2})]
        await generate(said.prompt.tools(await said.act()), tools=[add])
    assert ["tools" in body for body in endpoint.bodies] == [True, False, False]
    assert "Add two numbers." in endpoint.bodies[1]["messages"][0]["content"]
    assert endpoint.bodies[2]["messages"][-1]["content"].endswith(":\n2")


async def test_a_vllm_server_without_a_parser_has_the_calls_read_out_of_the_text(
    endpoint: Endpoint,
):
    words = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    endpoint.refuse = lambda body: None if body.get("tool_choice") == "none" else error(words)
    text = 'I add.<tool_call>{"name": "add", "arguments": {"a": 2}}</tool_call>'
    endpoint.answer = data(chunk(content=text), chunk("stop"), USED)
    async with Pool(OpenAIEngine("m", endpoint.url, "k")):
        said = await generate(Prompt.user("q"), tools=[add])
    assert (said.text, [one.arguments for one in said.calls]) == ("I add.", [{"a": 2}])
    assert "tools" in endpoint.bodies[1]
