"""prompt_variants: each question is asked in the words that its model answers best."""

from __future__ import annotations

from dataclasses import replace

from weft.errors import UsageError
from weft.parts.parameters import param
from weft.programs import Prompt
from weft.search.collaboration.routing.taught import Taught
from weft.search.collaboration.routing.ways import Way
from weft.search.strategy import Answer, Question, strategy


def read_variants(text: str) -> tuple[str, ...]:
    """What may be added to a question, parted by `|`.

    Raises:
        UsageError: there is only one variant, or one twice.
    """
    found = tuple(one.strip() for one in text.split("|"))
    if len(found) < 2 or len(set(found)) < len(found):
        raise UsageError(
            f"variants={text!r} must be at least two different texts, parted by |; an empty one "
            "leaves the question as it is"
        )
    return found


@strategy("prompt_variants")
class PromptVariants(Taught):
    """Words added to a question, chosen for each model and question by what they brought.

    A model that was compressed answers some questions again if they are put otherwise (dynamic
    prompting, Hoang et al. 2023). Which of the variants is put behind a question is decided by the
    bandit of `bandit`, with the same reward, context and teaching. What was learned of one model
    is not held of another. In the paper a prompt is chosen by the model's attention, which engines
    don't tell.
    """

    title = "prompt variants"
    family = "collaboration"
    source = "Hoang et al. 2023; LinUCB: Li et al. 2010"
    needs = ("verifier",)

    variants: str = param(
        "|Let's think step by step.",
        "what may be put behind a question, parted by |; an empty text adds nothing",
        main=True,
        read=read_variants,
    )
    role: str = param("solver", "who answers")

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        way = Way(self.role)
        arms = {one: (way, varied(question, one)) for one in read_variants(self.variants)}
        return await self.answer_by_best(question, arms)


def varied(question: Question, variant: str) -> Question:
    """The question with more words behind it."""
    if not variant:
        return question
    think = None if question.think is None else _added(question.think, variant)
    return replace(question, prompt=_added(question.prompt, variant), think=think)


def _added(prompt: Prompt, variant: str) -> Prompt:
    assert prompt.parent is not None
    return prompt.parent.user(f"{prompt.text}\n\n{variant}")
