"""Tools over token ids: the template writes them, and what calls them stays as generated."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bpe_server import Model
from weft import Pool, Prompt, ToolCall, generate, tool

Serve = Callable[..., tuple[Model, str]]


@tool
async def add(a: int, b: int) -> str:
    """Add two numbers."""
    return f"sum {a + b}"


TEXTS = {
    "qwen": 'I add.\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>\n'
    '<tool_call>\n{"name":"add","arguments":{"a":3,"b":4}}\n</tool_call>',
    "llama": '<|python_tag|>{"name": "add", "parameters": {"a": 1, "b": 2}}; '
    '{"name":"add","parameters":{"a":3,"b":4}}',
    "mistral": 'I add.[TOOL_CALLS][{"name": "add", "arguments": {"a": 1, "b": 2}}, '
    '{"name":"add","arguments":{"a":3,"b":4}}]',
}


@pytest.mark.parametrize("template", TEXTS)
async def test_calls_are_read_out_of_the_text_and_generated_ids_stay(
    serve: Serve, template: str
) -> None:
    model, url = serve({"one?": TEXTS[template], "sum 7": "It is seven."}, template)
    async with Pool(url):
        said = await generate(Prompt.user("one?"), tools=[add], temperature=0)
        results = await said.act()
        last = await generate(said.prompt.tools(results), tools=[add], temperature=0)
    assert said.text == ("" if template == "llama" else "I add.")
    assert said.finish_reason == "tool_calls"
    assert [one.arguments for one in said.calls] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert [one.text for one in results] == ["sum 3", "sum 7"]
    assert (last.text, last.calls) == ("It is seven.", ())
    first, second = model.sent()
    assert second[: len(first) + len(said.tokens)] == [*first, *said.tokens]
    written = model.tokenizer.decode(first, skip_special_tokens=False)
    assert written.count("Add two numbers.") == 1
    rest = model.tokenizer.decode(second[len(first) + len(said.tokens) :])
    assert rest.index("sum 3") < rest.index("sum 7")
    assert "Add two numbers." not in rest


TAGS = {
    "qwen": "I add.\n<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n"
    "<parameter=b>\n2\n</parameter>\n</function>\n</tool_call>",
    "glm": "I add.\n<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n"
    "<arg_key>b</arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
}


@pytest.mark.parametrize("family", TAGS)
async def test_values_in_tags_are_of_the_signatures_types(serve: Serve, family: str) -> None:
    model, url = serve({"one?": TAGS[family], "sum 3": "Three."}, "qwen")
    async with Pool(url):
        said = await generate(Prompt.user("one?"), tools=[add], temperature=0)
        last = await generate(said.prompt.tools(await said.act()), tools=[add], temperature=0)
    assert (said.text, last.text) == ("I add.", "Three.")
    assert [one.arguments for one in said.calls] == [{"a": 1, "b": 2}]
    first, second = model.sent()
    assert second[: len(first) + len(said.tokens)] == [*first, *said.tokens]


async def test_a_template_that_writes_no_tools_has_the_model_told_in_words(serve: Serve) -> None:
    answer = '{"calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}], "answer": ""}'
    model, url = serve({"one?": answer, "sum 3": '{"calls": [], "answer": "Three."}'}, "r1")
    async with Pool(url):
        said = await generate(Prompt.user("one?"), tools=[add], thinking=False)
        results = await said.act()
        last = await generate(said.prompt.tools(results), tools=[add], thinking=False)
    assert ([one.text for one in results], last.text) == (["sum 3"], "Three.")
    bodies = [body for path, body in model.asked if path == "v1/completions"]
    assert all("response_format" in body for body in bodies)


async def test_calls_of_another_engine_are_written_by_the_template(serve: Serve) -> None:
    model, url = serve({"sum 3": "Three."}, "qwen")
    called = Prompt.user("one?").assistant("I add.", calls=[ToolCall("add", {"a": 1}, "x")])
    async with Pool(url):
        last = await generate(called.tool("sum 3", call="x"), tools=[add], temperature=0)
    assert last.text == "Three."
    (sent,) = model.sent()
    text = model.tokenizer.decode(sent, skip_special_tokens=False)
    assert 'I add.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>' in text
