"""What is sent is what was produced, under templates and tokenizers as models have them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bpe_server import Model
from chat_templates import TEMPLATES
from weft import Pool, Prompt, ScriptedEngine, generate
from weft.errors import RequestRejected

THOUGHT = "let me see\n</think>\n\nThe sea"


Serve = Callable[..., tuple[Model, str]]


@pytest.mark.parametrize("template", TEMPLATES)
async def test_turns_and_pieces_under_every_template(serve: Serve, template: str) -> None:
    for first in ("The sea is.\n\n", THOUGHT, " \nYes \n", "caf\u00e9"):
        await turns_and_pieces(serve, template, first)


async def turns_and_pieces(serve: Serve, template: str, first: str) -> None:
    model, url = serve({"one?": first, "two?": " Yes.\n\nNo."}, template)
    async with Pool(url):
        root = Prompt.user("one?")
        a = await generate(root, max_tokens=2, temperature=0)
        b = await generate(a.prompt, temperature=0)
        c = await generate(b.prompt.user("two?"), max_tokens=1, temperature=0)
        d = await generate(c.prompt, temperature=0)
    assert a.prompt.text + b.prompt.text == b.prompt.answer == first
    assert c.prompt.text + d.prompt.text == d.prompt.answer == " Yes.\n\nNo."
    assert first is THOUGHT or template == "r1" or a.text + b.text == first
    one, two, three, four = model.sent()
    assert two == one + list(a.tokens)
    assert four == three + list(c.tokens)
    turns = [{"role": "user", "content": "one?"}, {"role": "assistant", "content": first}]
    whole = model.render([*turns, {"role": "user", "content": "two?"}], open=False, add=True)
    produced = two + list(b.tokens)
    if first is THOUGHT and template in ("qwen", "r1", "glm"):
        assert three == whole  # the template drops what was thought
    else:
        assert three[: len(produced)] == produced
        tail = model.ids("two?")
        assert model.tokenizer.decode(three[len(produced) :]).count("two?") == 1
        assert whole[-len(tail) :] == three[-len(tail) :] or template != "mistral"


@pytest.mark.parametrize("template", TEMPLATES)
async def test_text_within_an_answer_follows_the_very_tokens(serve: Serve, template: str) -> None:
    """Also where the template would drop the thinking that the text closes."""
    model, url = serve({"one?": "let me see, and more"}, template)
    async with Pool(url):
        a = await generate(Prompt.user("one?"), max_tokens=3, temperature=0)
        forced = a.prompt.assistant("\n</think>\n\nThe", open=True)
        await generate(forced, max_tokens=1, temperature=0)
    one, two = model.sent()
    assert two == one + list(a.tokens) + model.ids("\n</think>\n\nThe")


@pytest.mark.parametrize("template", TEMPLATES)
async def test_spaces_at_the_ends_of_what_stands_in_an_answer(serve: Serve, template: str) -> None:
    """Nothing is lost of them, nor there twice, though the template trims answers."""
    for first in ("The sea.\n\n", "x", " \t", ""):
        model, url = serve({"one?": first}, template)
        async with Pool(url):
            a = await generate(Prompt.user("one?"), temperature=0)
            for text in ("\n\nThe", " No ", "\n"):
                forced = a.prompt.assistant(text, open=True)
                await generate(forced, max_tokens=1)
                one, two = model.sent()[0], model.sent()[-1]
                within = one + list(a.tokens) + model.ids(text)
                assert two == within
                for turn in (forced.user("two?"), a.prompt.assistant(text).user("two?")):
                    await generate(turn, max_tokens=1)
                    three = model.sent()[-1]
                    if three[: len(within)] == within:
                        assert three[len(within)] in model.marks, (first, text)
            begun = Prompt.user("one?").assistant(f"{first}x\n\n", open=True)
            await generate(begun, max_tokens=1)
            assert model.tokenizer.decode(model.sent()[-1]).endswith("x\n\n")


@pytest.mark.parametrize("template", ["qwen", "r1"])
async def test_an_open_answer_that_the_template_would_rewrite(serve: Serve, template: str) -> None:
    model, url = serve({"one?": "x"}, template)
    async with Pool(url):
        thought = "a\n\n\n</think>The"
        await generate(Prompt.user("one?").assistant(thought, open=True), max_tokens=1)
    begun = model.render([{"role": "user", "content": "one?"}], open=False, add=True)
    assert model.sent() == [begun + model.ids(thought)]


@pytest.mark.parametrize("template", TEMPLATES)
async def test_thinking_of_another_model_is_there_once(serve: Serve, template: str) -> None:
    """Whether a template opens thinking, drops it, or knows nothing of it."""
    model, url = serve({"one?": "x"}, template)
    asked = Prompt.user("one?")
    async with Pool(url):
        for thought in ("<think>\n", "<think>\nlet me see", "<think>\na\n</think>\n\nThe"):
            await generate(asked.assistant(thought, open=True), max_tokens=1)
            begun = model.render([{"role": "user", "content": "one?"}], open=False, add=True)
            text = thought.removeprefix("<think>\n") if template == "r1" else thought
            assert model.tokenizer.decode(begun).count("<think>") == (text != thought)
            assert model.sent()[-1] == begun + model.ids(text)


CHANNELS = (
    "<|channel|>analysis<|message|>7 or 8<|end|><|start|>assistant<|channel|>final<|message|>Yes"
)


@pytest.mark.parametrize("stop", [(), ("never",)])
async def test_the_channels_of_an_answer_are_told_apart(serve: Serve, stop: tuple[str]) -> None:
    """Special tokens alone tell them apart, and servers leave these out unless asked not to."""
    model, url = serve({"one?": CHANNELS, "two?": "<|channel|>final<|message|>No"}, "harmony")
    async with Pool(url):
        a = await generate(Prompt.user("one?"), temperature=0, stop=stop)
        cuts = [await generate(Prompt.user("one?"), max_tokens=n, stop=stop) for n in (1, 5, 15)]
        b = await generate(Prompt.user("two?"), temperature=0, stop=stop)
    assert (a.text, a.reasoning, a.whole) == ("Yes", "7 or 8", True)
    assert a.tokens == tuple(model.ids(CHANNELS))
    assert [(c.text, c.whole) for c in cuts] == [("", False)] * 3
    assert cuts[-1].in_thinking
    assert (b.text, b.reasoning, b.whole) == ("No", "", True)


async def test_tool_turns_and_system_turns_in_the_middle(serve: Serve) -> None:
    for template in TEMPLATES:
        model, url = serve({"one?": "call", "seen": "The sea"}, template)
        async with Pool(url):
            a = await generate(Prompt.system("s").user("one?"), temperature=0)
            b = await generate(a.prompt.tool("seen"), temperature=0)
            assert b.text == "The sea"
            one, two = model.sent()
            assert two[: len(one) + len(a.tokens)] == one + list(a.tokens)
            middle = b.prompt.system("be brief").user("seen?")
            assert (await generate(middle, temperature=0)).text == "The sea"
            if template == "mistral":  # it takes system turns at the beginning alone
                sent = model.tokenizer.decode(model.sent()[-1], skip_special_tokens=False)
                assert "be brief\n\nseen?" in sent
                with pytest.raises(RequestRejected, match="a system turn must come first"):
                    await generate(Prompt.user("a").system("b").user("c"))


async def test_samples_of_one_prompt_are_tokenised_once(serve: Serve) -> None:
    model, url = serve({"one?": "The sea"})
    async with Pool(url):
        before = model.count("tokenize")
        await generate(Prompt.user("one?"), n=16)
        assert model.count("tokenize") == before + 1
        for _ in range(3):
            await generate(Prompt.user("one?"))
        assert model.count("tokenize") == before + 1


@pytest.mark.loops("asyncio")
async def test_a_path_of_thousands_of_pieces() -> None:
    engine = ScriptedEngine("x")
    async with Pool(engine) as pool:
        path = Prompt.user("go")
        for _ in range(1500):
            path = path.produced("ab", tokens=(10, 11), model="scripted", call="c")
        await generate(path, max_tokens=1)
        path = path.user("and")
        for _ in range(200):
            path = path.produced("ab", tokens=(10, 11), model="scripted", call="c").user("u")
        await generate(path, max_tokens=1)
        assert pool.scheduler.in_flight == 0
    first = engine.requests[0].tokens
    assert first is not None
    assert first[-3000:] == (10, 11) * 1500


async def test_a_template_that_opens_thinking_is_seen(serve: Serve) -> None:
    """So that an answer that is cut off within it is not taken for one."""
    for template in ("r1", "llama"):
        _, url = serve({"one?": "let me see\n</think>\n\nThe sea"}, template)
        async with Pool(url):
            cut = await generate(Prompt.user("one?"), max_tokens=2)
            whole = await generate(Prompt.user("one?"))
        assert cut.in_thinking == (template == "r1")
        assert (whole.text, whole.reasoning) == ("The sea", "let me see")


async def test_settings_of_the_template(serve: Serve) -> None:
    model, url = serve({"one?": "The sea"})
    async with Pool(url):
        a = await generate(Prompt.user("one?"), thinking=False, top_k=3, max_tokens=1)
        await generate(a.prompt, thinking=False)
        await generate(Prompt.user("one?"), extra={"chat_template_kwargs": {"x": 1}, "y": 2})
        await generate(Prompt.user("one?"), reasoning_effort="low")
    rendered = [b for path, b in model.asked if path == "tokenize" and "messages" in b][1:]
    off = {"enable_thinking": False, "thinking": False}
    assert [b.get("chat_template_kwargs") for b in rendered] == [
        off, {"x": 1}, {"reasoning_effort": "low"}
    ]  # fmt: skip
    bodies = [b for path, b in model.asked if path == "v1/completions"]
    assert bodies[0]["top_k"] == 3
    assert bodies[2]["y"] == 2
    assert not any("chat_template_kwargs" in b for b in bodies)
