"""What tools return that is no text: bytes, images, values of types, halves of characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from hosted_endpoint import USED, Endpoint, chunk, data, serving
from weft import Pool, Prompt, ScriptedEngine, Store, ToolCall, generate, image, run, tool
from weft.backends.openai import OpenAIEngine
from weft.backends.scripted.engine import Scripted
from weft.errors import UsageError
from weft.programs.tools.returned import shown
from weft.types import Media, Message, Request

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.mark.parametrize(
    ("value", "text", "media"),
    [
        ("plain", "plain", 0),
        ("b\ud83d\ude42\udcff", "b\U0001f642\ufffd", 0),  # a pair, and half of one
        (None, "null", 0),
        (b"bees \xe2\x82\xac", "bees €", 0),
        (bytearray(b"bees"), "bees", 0),
        (b"\xff\x00\x01", "[3 bytes, which are neither a text nor an image]", 0),
        (PIXEL, "[the image is shown below]", 1),
        (image(PIXEL), "[the image is shown below]", 1),
        (["before", image(PIXEL), image("https://x/y.png")], None, 2),
        ([1, image(PIXEL)], '[1,"[the image is shown below]"]', 1),
        ([b"ab"], '["YWI="]', 0),
    ],
)
def test_what_a_model_reads_and_sees(value: Any, text: str | None, media: int) -> None:
    said, seen = shown(value)
    assert text is None or said == text
    assert len(seen) == media
    said.encode()


def test_an_image_stands_in_a_users_turn() -> None:
    with pytest.raises(UsageError, match="a tool turn takes no image or file; show it in a user"):
        Prompt.user("?").tool(image(PIXEL), call="1")


def test_a_prompt_has_whole_characters_only() -> None:
    prompt = Prompt.system("a\ud800").user("\udfffb").tool("caf\udce9", call="x")
    assert [m.content for m in prompt.messages] == ["a\ufffd", "\ufffdb", "caf\ufffd"]


@dataclass
class Page:
    title: str
    lines: tuple[int, ...]


ran: list[str] = []


@tool(keep=True)
async def look(path: str) -> list[Media | str]:
    """Look at a picture."""
    ran.append(path)
    return ["seen:", image(PIXEL)]


@tool(keep=True)
async def page(path: str) -> Page:
    """Read a page."""
    ran.append(path)
    return Page(path, (1, 2))


async def agent() -> tuple[list[Any], tuple[Message, ...]]:
    said = await generate(Prompt.user("q"), tools=[look, page])
    results = await said.act()
    prompt = said.prompt.tools(results)
    await generate(prompt)
    return [one.value for one in results], prompt.messages


async def test_images_and_typed_values_come_back_as_they_were() -> None:
    def script(request: Request) -> Scripted:
        if request.messages[-1].media:
            return Scripted("I see it")
        return Scripted(tools=[ToolCall("look", {"path": "a"}), ToolCall("page", {"path": "b"})])

    ran.clear()
    store, found = Store(), list[Any]()
    for _ in range(2):
        async with Pool(ScriptedEngine(script, takes_tokens=False), store=store) as pool:
            found.append((await run(agent, pool=pool)).value)
    assert found[0] == found[1]
    assert sorted(ran) == ["a", "b"]
    values, messages = found[0]
    assert values[1] == Page("b", (1, 2))
    assert [m.role for m in messages[2:]] == ["tool", "tool", "user"]
    assert messages[2].content == "seen:\n[the image is shown below]"
    assert messages[-1].media == (image(PIXEL),)


async def test_half_a_character_of_a_tool_reaches_an_endpoint() -> None:
    with serving(Endpoint()) as endpoint:
        endpoint.answer = lambda body: data(chunk(content="done"), chunk("stop"), USED)
        async with Pool(OpenAIEngine("m", endpoint.url, "k")):
            said = await generate(Prompt.user("go").assistant("\ud800").tool("caf\udce9", call="1"))
        assert said.text == "done"
        assert [one["content"] for one in endpoint.bodies[0]["messages"][1:]] == [
            "\ufffd",
            "caf\ufffd",
        ]
