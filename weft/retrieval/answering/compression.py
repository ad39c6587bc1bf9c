"""compress: a shorter text for prompts, taken only if it does not change what answers score."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Unpack

from weft.errors import BudgetExceeded, EngineError, PartFailed, UsageError
from weft.parts.faults import blaming, expect
from weft.programs import Prompt, generate, node
from weft.programs.calls.count import count
from weft.programs.gather import gather
from weft.retrieval.answering.lines import FINAL, answer, final, marked, same
from weft.types import MoreSampling

Utility = Callable[[str], Awaitable[float]]
"""How good answers are with a text in the prompt; higher is better."""

SHORTEN = (
    "Shorten the text to at most {words} words. Keep every instruction, name, number and condition "
    "that an answer could need, word by word where the wording matters. Leave out what repeats or "
    "decorates. Write only the shortened text.\n\nText:\n{text}"
)


@dataclass(frozen=True)
class Compressed:
    """A text, shorter if that changes nothing.

    Attributes:
        text: the shortest text that scores as the original does; the original if there is none.
        tokens: of the text.
        original: tokens of the original.
        utility: what the text scores.
        before: what the original scores; nan if a budget ended before that was known.
        tried: tokens and utility of each shorter text; None for the utility of one that was not
            shorter, or could not be scored.
    """

    text: str
    tokens: int
    original: int
    utility: float
    before: float
    tried: tuple[tuple[int, float | None], ...] = ()


@node
async def compress(
    text: str,
    utility: Utility,
    *,
    shares: Sequence[float] = (0.25, 0.5, 0.75),
    loss: float = 0.0,
    temperature: float = 0.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Compressed:
    """Have a model shorten a text, and keep the shortest version that answers score as well with.

    The original is scored first. Then versions of several lengths are written, the shortest first;
    the first one that is shorter and loses no more than `loss` is taken. If none is, if calls fail
    or a budget ends, the original stays. Use it for texts that stand in many prompts.

    After Nano-Capsulator (Chuang et al. 2024, arXiv 2402.18700), which trains a model that
    compresses; here an ordinary model is asked, and the utility is checked.

    Args:
        text: to be shortened.
        utility: an async function that scores a text, such as `answers_stay(...)`.
        shares: lengths of the versions, as shares of the original's.
        loss: how much less a version may score.
        temperature: 0 is greedy.
        seed: makes the versions repeatable where the engine allows it.
        role: which of the pool's models shortens.
        **more: settings that few calls need.

    Raises:
        UsageError: an argument is out of range.
        PartFailed: the utility of the original can't be had.
    """
    if not text.strip():
        raise UsageError("text is empty; there is nothing to shorten")
    if not shares or not all(0 < share < 1 for share in shares):
        raise UsageError(f"shares={list(shares)!r} must be numbers above 0 and below 1")
    if not loss >= 0:
        raise UsageError(f"loss={loss!r} must be 0 or more")
    length = await count(Prompt.user(text), role=role)
    try:
        before = await _scored(utility, text)
    except BudgetExceeded:
        return Compressed(text, length, length, math.nan, math.nan)
    tried: list[tuple[int, float | None]] = []
    words = len(text.split())
    for share in sorted(shares):
        asked = SHORTEN.format(words=max(1, round(share * words)), text=text)
        try:
            said = await generate(
                Prompt.user(asked),
                max_tokens=length,
                temperature=temperature,
                seed=seed,
                role=role,
                **more,
            )
            shorter = said.text.strip() if said.whole else ""
            if not shorter:
                continue
            tokens = await count(Prompt.user(shorter), role=role)
            if tokens >= length:
                tried.append((tokens, None))
                continue
            scores = await _scored(utility, shorter)
        except BudgetExceeded:
            break
        except (EngineError, PartFailed):
            continue
        tried.append((tokens, scores))
        if scores >= before - loss:
            return Compressed(shorter, tokens, length, scores, before, tuple(tried))
    return Compressed(text, length, length, before, before, tuple(tried))


def answers_stay(
    questions: Sequence[str],
    *,
    make: Callable[[str, str], Prompt] = lambda text, question: Prompt.user(
        f"{text}\n\n{question}"
    ),
    alike: Callable[[str, str], bool] = same,
    max_tokens: int = 256,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Utility:
    """A utility: the share of questions whose answer is the same as with the first text.

    The first text that is scored is the original: its answers are what others are compared with,
    and it scores 1.

    Args:
        questions: to be answered.
        make: the prompt of a text and a question.
        alike: whether two answers are the same; by default but for case, spaces and marks.
        max_tokens: most tokens of an answer.
        role: which of the pool's models answers.
        **more: settings that few calls need.

    Raises:
        UsageError: there are no questions.
    """
    if isinstance(questions, str) or not questions:
        raise UsageError("questions must be a list of texts, with at least one")
    first: list[str] = []

    async def utility(text: str) -> float:
        async def answered(question: str) -> str:
            said = await generate(
                make(text, question), max_tokens=max_tokens, temperature=0.0, role=role, **more
            )
            return final(marked(said.text, final=FINAL)) or answer(said.text)

        found = await gather(answered, questions)
        if not first:
            first.extend(found)
            return 1.0
        return sum(map(alike, first, found)) / len(first)

    return utility


async def _scored(utility: Utility, text: str) -> float:
    with blaming("utility", utility):
        return float(expect(await utility(text), Real, "utility", awaited=True))
