"""A tokenizer of real size on real vLLM: text, tokens, stops and templates agree.

The model is tiny and random, so whatever is allowed comes, and in no sensible order: bytes of
characters most of all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import Tokenizer

from chat_templates import QWEN, TEMPLATES
from weft import Pool, Prompt, generate, run, score
from weft.backends.vllm import VLLMEngine
from weft.errors import RequestRejected
from weft.search import Question, parse_strategy
from weft.search.verifiers import verify
from weft.types import Message

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.loops("asyncio"),
]

BROKEN = "\ufffd"


class Templated(VLLMEngine):
    """Asks the server to use another chat template than the model's."""

    template = QWEN

    async def _tokenize(self, body: dict[str, Any]) -> tuple[int, ...]:
        more = {"chat_template": self.template} if "messages" in body else {}
        return await super()._tokenize(body | more)


def said(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """What ids say up to the last whole character."""
    for end in range(len(ids), 0, -1):
        text = tokenizer.decode(list(ids[:end]), skip_special_tokens=True)
        if not text.endswith(BROKEN):
            return text
    return ""


ALLOWED = "\U0001f389\u4e2d\u00e9 x"
STEPS = ["The", " sea", ".\n\n", "\n\n", ".\n", "x"]


@pytest.mark.parametrize("stop", [(), ("\n\n",), ("e s", "\n")])
async def test_pieces_say_what_their_tokens_say(
    bpe_replica: str, bpe_tokenizer: Tokenizer, stop: tuple[str, ...]
) -> None:
    texts = STEPS if stop else list(ALLOWED)
    allowed = sorted({i for text in texts for i in bpe_tokenizer.encode(text).ids})
    if stop:
        allowed += bpe_tokenizer.encode("\U0001f389").ids
    async with Pool(bpe_replica):
        matches = 0
        for sample in range(4):
            prompt, produced, shown = Prompt.user("Say it.\n\nNow."), [], ""
            for piece in range(8):
                c = await generate(
                    prompt,
                    max_tokens=1 + (sample + piece) % 5,
                    seed=100 * sample + piece,
                    stop=stop,
                    logprobs=0,
                    extra={"allowed_token_ids": allowed},
                    index=sample,
                )
                assert len(c.logprobs) == len(c.tokens)
                assert "".join(one.token for one in c.logprobs) == c.text
                prompt, shown = c.prompt, shown + c.text
                produced += c.tokens
                assert shown == said(bpe_tokenizer, produced) == prompt.answer
                matched = any(one in c.text for one in stop)
                assert matched == (c.finish_reason == "stop" and not c.ended)
                matches += matched
        assert not stop or matches


async def test_a_step_search_where_steps_end_within_tokens(
    bpe_replica: str, bpe_tokenizer: Tokenizer
) -> None:
    question = Question(
        prompt=Prompt.user("Solve."),
        answer=lambda text: text or None,
        complete=lambda text: False,
        steps="a",  # most made-up words hold one
        max_tokens=24,
        max_steps=4,
    )
    async with Pool(bpe_replica) as pool:
        done = await run(
            parse_strategy("beam(n=4, width=2, verifier=logprob)"), question, pool=pool
        )
    assert done.value.text
    outcomes = [e.data["outcome"] for e in done.events if e.kind == "done" and "outcome" in e.data]
    assert len(outcomes) >= 8
    within = 0
    for outcome in outcomes:
        text = bpe_tokenizer.decode(list(outcome.tokens)).rstrip(BROKEN)
        assert outcome.text.rstrip(BROKEN) in (text, text.lstrip(BROKEN))
        within += "a" in outcome.text and not outcome.text.endswith("a")
    assert within


@pytest.mark.parametrize("template", TEMPLATES)
async def test_turns_under_every_template(
    bpe_replica: str, bpe_tokenizer: Tokenizer, template: str
) -> None:
    engine = Templated(bpe_replica)
    engine.template = TEMPLATES[template]
    async with Pool(engine):
        first = await generate(Prompt.user("one?"), max_tokens=4, temperature=0)
        thought = "let me see\n</think>\n\nYes"
        ids = tuple(bpe_tokenizer.encode(thought).ids)
        for prompt in (
            first.prompt,
            Prompt.user("one?").produced(thought, tokens=ids, model="bpe", call="c"),
        ):
            turns = prompt.user("two?")
            second = await generate(turns, max_tokens=4, temperature=0)
            messages = (*prompt.messages, Message("user", "two?"))
            whole = await engine.render(messages, open=False)
            begun = await engine.render(messages[:1], open=False)
            kept = begun + (prompt.tokens or ())
            drops_thinking = template in ("qwen", "r1", "glm")
            if prompt is not first.prompt and drops_thinking:
                assert second.usage.prompt == len(whole)
            else:
                assert turns.ids["bpe"][: len(kept)] == kept
            forced = prompt.assistant("\n</think>\n\nThe", open=True)
            third = await generate(forced, max_tokens=2, temperature=0)
            assert third.prompt.answer.startswith(prompt.answer + "\n</think>\n\nThe")
        if template == "mistral":
            with pytest.raises(RequestRejected, match="take turns"):
                await generate(Prompt.user("a").user("b"), max_tokens=1)


async def test_samples_scores_and_verdicts_agree_with_what_is_generated(
    bpe_replica: str, bpe_tokenizer: Tokenizer
) -> None:
    prompt = Prompt.user("Is it right?")
    question = Question(
        prompt=prompt,
        answer=lambda text: text or None,
        complete=lambda text: False,
        verify=lambda text: prompt,
        max_tokens=6,
    )

    async def probability(ids: Sequence[int]) -> float:
        """That the prompt goes on with these tokens, by generating nothing else."""
        total, at = 0.0, prompt
        for one in ids:
            extra = {"allowed_token_ids": [one]}
            c = await generate(at, max_tokens=1, logprobs=0, extra=extra)
            total, at = total + c.logprobs[0].logprob, c.prompt
        return math.exp(total)

    async with Pool(bpe_replica) as pool:
        samples = await generate(prompt, n=4, max_tokens=8, seed=1)
        assert len({c.tokens for c in samples}) > 1
        assert all(c.text == said(bpe_tokenizer, c.tokens) for c in samples)
        options = ["Yes", "No", "The sea is"]
        shares = await score(prompt, options)
        for option in options:
            ids = bpe_tokenizer.encode(option).ids
            assert len(ids) == 1 or option == options[2]
            assert shares[option] == pytest.approx(await probability(ids), rel=0.05)
        found = await verify(question, "it", "solver")
        assert 0 < found.score < 1
        assert shares["Yes"] + shares["No"] < found.mass < 1
        done = await run(
            parse_strategy("best_of_n(n=3, verifier=role:solver)"), question, pool=pool
        )
    assert done.value.details["verdict_mass"] == pytest.approx(found.mass, rel=0.05)
