"""outline: an ordinary model that is asked for parts, answers each, and puts them together."""

from __future__ import annotations

from typing import Unpack

from pydantic import BaseModel

from weft.errors import BudgetExceeded, EngineError, OutputError, UsageError
from weft.programs import Prompt, generate, node
from weft.threads.spawn import Bill, Thread, Threaded, spawn
from weft.types import MoreSampling


class AnswerParts(BaseModel):
    """The parts of an answer, which can be written without each other."""

    parts: list[str]


PLAN = (
    "Before you answer: name the parts of the answer that can be worked out without each other, "
    "at most {most}, as JSON. Name one part only if the answer can't be split."
)
PART = "Work out this part alone, briefly: {part}"
MERGE = "The parts, worked out:\n\n{parts}\n\nNow give the whole answer."


@node
async def outline(
    prompt: Prompt,
    *,
    most: int = 4,
    part_tokens: int = 512,
    answer_tokens: int = 1024,
    temperature: float = 0.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Threaded:
    """Answer in parts: outline, then threads, then the whole. For models without marks.

    The model names parts, each part is worked out by a thread, and the model writes the answer
    with all parts before it. An answer that can't be split, or parts that can't be read, are
    answered in one go. This is a pipeline of prompts, not one of the trained protocols.

    Args:
        prompt: the conversation.
        most: most parts; more are cut off.
        part_tokens: most tokens of a part.
        answer_tokens: most tokens of the answer.
        temperature: 0 is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models writes.
        **more: settings that few calls need.

    Raises:
        UsageError: `most` is below 2.
        EngineError: no engine could answer.
        BudgetExceeded: the budget ended before there was an answer.
    """
    if most < 2:
        raise UsageError(f"most={most} must be at least 2 parts")
    bill, parts, threads = Bill(), list[str](), list[Thread]()
    try:
        said = await generate(
            prompt.user(PLAN.format(most=most)),
            schema=AnswerParts.model_json_schema(),
            max_tokens=part_tokens,
            temperature=temperature,
            seed=seed,
            role=role,
            **more,
        )
        bill.serial(said)
        parts = [part for part in _parts(said.text)[:most] if part.strip()]
    except (EngineError, OutputError):
        pass
    asked = prompt
    if len(parts) > 1:
        threads = await spawn(
            [prompt.user(PART.format(part=part)) for part in parts],
            max_tokens=part_tokens,
            temperature=temperature,
            seed=seed,
            role=role,
            **more,
        )
        bill.parallel(threads)
        pairs = [(p, t) for p, t in zip(parts, threads, strict=True) if t.answer]
        if pairs:
            worked = "\n\n".join(f"{part}\n{thread.answer}" for part, thread in pairs)
            asked = prompt.user(MERGE.format(parts=worked))
    try:
        whole = await generate(
            asked,
            max_tokens=answer_tokens,
            temperature=temperature,
            seed=seed,
            role=role,
            **more,
        )
    except (BudgetExceeded, EngineError) as error:
        text = error.text if isinstance(error, BudgetExceeded) else ""
        if asked is prompt and not text:
            raise
        text = text or "\n\n".join(thread.answer for thread in threads if thread.answer)
        return bill.result(asked.assistant(text, open=True), text, False, parts=parts)
    bill.serial(whole)
    return bill.result(whole.prompt, whole.text, whole.whole, parts=parts)


def _parts(text: str) -> list[str]:
    try:
        return AnswerParts.model_validate_json(text).parts
    except ValueError:
        return []
