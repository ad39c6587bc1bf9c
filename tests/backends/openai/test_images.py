import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from hosted_endpoint import Endpoint, chunk, data, error, serving
from weft import Pool, Prompt, ScriptedEngine, Store, count, file, generate, image, run
from weft.backends.openai import OpenAIEngine
from weft.errors import Unsupported, UsageError

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
WRITTEN = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
USED = {"choices": [], "usage": {"prompt_tokens": 5_000, "completion_tokens": 1}}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint()) as one:
        one.answer = data(chunk(content="bee"), chunk("stop"), USED)
        yield one


async def test_images_and_files_stand_behind_the_text(endpoint: Endpoint, tmp_path: Path):
    (tmp_path / "bee.png").write_bytes(PNG)
    far, paper = "https://example.org/bee.jpg", b"%PDF-1.7"
    prompt = Prompt.system("Look.").user(
        "What?", image(tmp_path / "bee.png"), image(far), file(paper, name="p.pdf")
    )
    async with Pool(OpenAIEngine("m", endpoint.url, "k")):
        said = await generate(prompt)
        await generate(said.prompt.user("Sure?").assistant("Yes.").user("", image(PNG)))
    first, second = [body["messages"] for body in endpoint.bodies[-2:]]
    assert first[0]["content"] == "Look."
    text, near, away, page = first[1]["content"]
    assert text == {"type": "text", "text": "What?"}
    assert near == {"type": "image_url", "image_url": {"url": WRITTEN}}
    assert away["image_url"]["url"] == far
    assert page["file"]["filename"] == "p.pdf"
    assert page["file"]["file_data"].startswith("data:application/pdf;base64,")
    assert second[:2] == first
    assert [one["content"] for one in second[2:5]] == ["bee", "Sure?", "Yes."]
    assert second[5]["content"] == [near]


async def test_system_turns_that_are_folded_leave_images_whole(endpoint: Endpoint):
    def refuse(body: dict[str, Any]):
        system = any(one["role"] == "system" for one in body["messages"])
        return error("System role not supported") if system else None

    endpoint.refuse = refuse
    async with Pool(OpenAIEngine("m", endpoint.url, "k")):
        await generate(Prompt.system("Look.").user("What?", image(PNG)))
    (turn,) = endpoint.bodies[-1]["messages"]
    assert [part.get("text") for part in turn["content"]] == ["Look.", "What?", None]


async def test_another_image_is_another_prompt_and_a_rerun_is_free(endpoint: Endpoint):
    async def look(content: bytes) -> str:
        return (await generate(Prompt.user("What?", image(content)))).text

    async with Pool(OpenAIEngine("m", endpoint.url, "k"), store=Store()) as pool:
        for content in (PNG, PNG + b"!", PNG):
            done = await run(look, content, pool=pool)
            assert "[image]" in next(s for s in done.spans.values() if s.turns).turns[-1][1]
        assert len(endpoint.bodies) == 2
        # An image is counted as images before it were, and teaches nothing of text.
        assert 2_000 < await count(Prompt.user("What?", image(PNG))) < 8_000
        assert await count(Prompt.user("What?")) < 100


async def test_what_is_sent_token_ids_can_show_no_image():
    async with Pool(ScriptedEngine("x")):
        with pytest.raises(Unsupported, match="token ids, which can't hold an image"):
            await generate(Prompt.user("What?", image(PNG)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: image("nowhere.png"), "can't read the image 'nowhere.png': No such file"),
        (lambda: image(b"text"), "some bytes is no image of a known type; give mime"),
        (lambda: image(b"%PDF-1"), "no image of a known type"),
        (lambda: image(cast(Any, 3)), "image takes a path, bytes or an address, not 3"),
        (lambda: file(b"text"), "no file of a known type; give mime"),
        (lambda: file("https://example.org/a.pdf"), "load it first"),
        (lambda: Prompt.user("What?", cast(Any, PNG)), r"then image\(...\) or file\(...\), not b"),
        (lambda: Prompt.system("What?", image(PNG)), "a system turn takes a text alone"),
    ],
)
def test_what_is_no_image(make: Any, says: str):
    with pytest.raises(UsageError, match=says):
        make()


def test_a_prompt_is_told_from_others_by_what_it_shows():
    shown = Prompt.user("x", image(PNG))
    assert shown == Prompt.user("x", image(PNG)) != Prompt.user("x")
    assert shown != Prompt.user("x", image(PNG, mime="image/webp"))
    assert shown.user("y").has_media
    assert not Prompt.user("y").has_media
    assert "pixels" not in repr(shown.messages)
