"""A judge that says what is wrong with an answer: the majority of several verdicts counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from weft.errors import WeftError
from weft.programs import Prompt, fan_out, generate
from weft.search.answers.failures import NO_RESULT
from weft.search.strategy import Question, stable_seed

_ASK = """Here are a request and an answer to it. Hold the answer against each instruction of the \
request, and say which ones it does not follow, and why. End with a line that says [[pass]] if it \
follows all of them, or [[fail]] if it does not.

Request:
{request}

Answer:
{answer}"""


@dataclass(frozen=True)
class Judgement:
    """What a judge said of an answer.

    Attributes:
        passes: how many verdicts let it pass.
        verdicts: how many there are; verdicts that can't be read are not among them.
        asked: how many were asked for.
        critique: the text of the first verdict that does not let it pass; empty without one.
    """

    passes: int
    verdicts: int
    asked: int
    critique: str = ""

    @property
    def passed(self) -> bool:
        """Whether more than half of the verdicts that were asked for let it pass."""
        return 2 * self.passes > self.asked

    @property
    def share(self) -> float:
        """The share of the verdicts that let it pass; 0 without any."""
        return self.passes / self.verdicts if self.verdicts else 0.0


async def judge(
    question: Question,
    text: str,
    *,
    verdicts: int,
    role: str,
    max_tokens: int,
    temperature: float,
    errors: list[WeftError],
) -> Judgement:
    """Have an answer judged several times, side by side.

    Args:
        question: what the text answers.
        text: the answer.
        verdicts: how many.
        role: who judges.
        max_tokens: most tokens of a verdict.
        temperature: of the judge; verdicts differ only above 0.
        errors: why verdicts are missing joins them.
    """
    said: dict[int, str] = {}
    prompt = Prompt.user(_ASK.format(request=request(question), answer=text))

    async def ask(index: int) -> None:
        try:
            completion = await generate(
                prompt,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=stable_seed(question.seed, "verdict", text, index),
                role=role,
                index=index,
            )
        except NO_RESULT as error:
            errors.append(error)
            return
        said[index] = completion.text

    async with fan_out(ask, range(verdicts)) as asked:
        async for _ in asked:
            pass
    return judgement([said[i] for i in sorted(said)], verdicts)


def judgement(said: Sequence[str], asked: int) -> Judgement:
    """What several verdicts say together."""
    read = [(passed, text) for text in said if (passed := passes(text)) is not None]
    critique = next((_without_mark(text) for passed, text in read if not passed), "")
    return Judgement(sum(passed for passed, _ in read), len(read), asked, critique)


_MARK = re.compile(r"\[\[\s*(pass|fail)\s*\]\]", re.IGNORECASE)


def passes(said: str) -> bool | None:
    """Whether a verdict lets an answer pass; None if it does not say. The last mark counts."""
    marks = _MARK.findall(said)
    return marks[-1].lower() == "pass" if marks else None


def _without_mark(said: str) -> str:
    return _MARK.sub("", said).strip()


def request(question: Question) -> str:
    """What a question asks, in one text."""
    turns = [m.content for m in question.prompt.messages if m.role != "assistant"]
    return "\n\n".join(turns)
