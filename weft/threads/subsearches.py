"""subsearches: a model that hands parts of its search to children, and reads their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from weft.errors import BudgetExceeded, EngineError
from weft.programs import Prompt, generate, node
from weft.threads.spawn import Bill, Threaded, spawn
from weft.types import MoreSampling

NONE = "none"
"""What the parent reads of a child without a result."""


def last_line(text: str) -> str | None:
    """The last line of a text that is not empty; None if there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None


@node
async def subsearches(
    prompt: Prompt,
    *,
    child: Callable[[str], Prompt],
    result: Callable[[str], str | None] = last_line,
    begin: str = "<call>",
    end: str = "</call>",
    max_tokens: int = 4096,
    child_tokens: int = 4096,
    width: int = 16,
    rounds: int = 16,
    temperature: float = 1.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Threaded:
    """Write an answer whose model calls child searches, and joins their results alone.

    The model names the parts to search, a line each, between `begin` and `end`. Each part is
    searched by a child with a Prompt of its own, all at once. Behind the block the model reads a
    line `part -> result` for each, in its own order, and goes on. So the parent's context grows
    by the results, never by what the children wrote. A child that fails or finds nothing has the
    result `none`. Children call no children.

    APR (2025, arXiv 2504.15466). What the paper trains is when to call; a model that was not
    trained must be told in `prompt`.

    Args:
        prompt: the conversation; says how to call.
        child: makes the Prompt of a child of its line.
        result: reads a child's result out of its text; None if there is none.
        begin: opens a block of calls.
        end: closes the block.
        max_tokens: most tokens that the parent generates.
        child_tokens: most tokens of each child.
        width: most children of a block; further lines get `none`.
        rounds: most blocks; the parent's text ends behind the last one.
        temperature: 0 is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models writes.
        **more: settings that few calls need.

    Raises:
        EngineError: no engine could write the first piece of the answer.
    """
    bill, path, began, left = Bill(), prompt, len(prompt.answer), max_tokens
    try:
        for _ in range(rounds + 1):
            said = await generate(
                path,
                max_tokens=left,
                temperature=temperature,
                stop=end,
                seed=seed,
                role=role,
                **more,
            )
            bill.serial(said)
            path, left = said.prompt, left - said.usage.completion
            if said.ended or said.finish_reason != "stop":
                return bill.result(path, path.answer[began:], said.ended)
            _, opened, block = path.answer[began:].rpartition(begin)
            lines = block.partition(end)[0].splitlines() if opened else []
            parts = [line.strip() for line in lines if line.strip()]
            if not parts and left > 0:
                continue  # a block that names nothing: the answer goes on
            threads = await spawn(
                [child(part) for part in parts[:width]],
                max_tokens=child_tokens,
                temperature=temperature,
                seed=seed,
                role=role,
                **more,
            )
            bill.parallel(threads)
            found = [result(thread.answer) or NONE for thread in threads]
            found += [NONE] * (len(parts) - len(found))
            told = [f"{part} -> {one}" for part, one in zip(parts, found, strict=True)]
            path = path.assistant("\n" + "\n".join(told) + "\n", open=True)
            if left <= 0:
                break
    except BudgetExceeded as over:
        path = path.assistant(over.text, open=True) if over.text else path
    except EngineError:
        if not bill.tokens:
            raise
    return bill.result(path, path.answer[began:], False)
