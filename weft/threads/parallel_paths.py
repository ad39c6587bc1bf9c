"""parallel_paths: several ways to think, and one answer that has read them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from weft.errors import BudgetExceeded, EngineError, UsageError
from weft.programs import Prompt, generate, node
from weft.threads.spawn import Bill, Threaded, spawn
from weft.types import MoreSampling

SUMMARY = (
    "Here is what {n} attempts at this came to.\n\n{paths}\n\nUse what is right in them, and "
    "give one final answer."
)


@node
async def parallel_paths(
    prompt: Prompt,
    n: int = 4,
    *,
    hints: Sequence[str] = (),
    max_tokens: int = 2048,
    answer_tokens: int = 1024,
    most: int = 6000,
    first: bool = True,
    summary: str = SUMMARY,
    temperature: float = 0.8,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Threaded:
    """Think along several paths at once, then write one answer that has all of them before it.

    The first path that ends by itself cuts the others off. All stand in the last prompt in
    their order; of a path that is too long the middle is left out. Compare with a plain vote of
    as many samples before you choose this: a vote costs no answer more.

    ParaThinker (2025): there a trained model reads the KV of all paths; here their texts are
    prefilled again.

    Args:
        prompt: the conversation.
        n: how many paths.
        hints: what is said to each path of how to go about it, in turn; without hints the paths
            differ by chance alone.
        max_tokens: most tokens of a path.
        answer_tokens: most tokens of the answer.
        most: characters of all paths together that the answer's prompt holds.
        first: whether the first path that ends cuts the others off.
        summary: the turn behind `prompt`; `{n}` and `{paths}` stand for the paths.
        temperature: of paths; the answer is greedy.
        seed: path i gets `seed + i`.
        role: which of the pool's models writes.
        **more: settings that few calls need.

    Raises:
        UsageError: `n` or `most` is below 1.
        EngineError: no path could be written.
    """
    for name, number in (("n", n), ("most", most)):
        if number < 1:
            raise UsageError(f"{name}={number} must be at least 1")
    bill = Bill()
    starts = [prompt.user(hints[i % len(hints)]) if hints else prompt for i in range(n)]
    threads = await spawn(
        starts,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        role=role,
        first=(lambda thread: thread.whole) if first else None,
        **more,
    )
    bill.parallel(threads)
    texts = [thread.text for thread in threads if thread.text]
    if not texts:
        errors = [thread.error for thread in threads if thread.error is not None]
        if errors:
            raise errors[0]
        return bill.result(prompt, "", False, paths=[])
    each = max(1, most // len(texts))
    paths = [f"{i}. {shortened(text, each)}" for i, text in enumerate(texts, 1)]
    asked = prompt.user(summary.format(n=len(texts), paths="\n\n".join(paths)))
    try:
        said = await generate(
            asked, max_tokens=answer_tokens, temperature=0.0, seed=seed, role=role, **more
        )
    except (BudgetExceeded, EngineError):  # what is whole is the best there is
        best = next((t for t in threads if t.whole), None) or max(threads, key=lambda t: t.tokens)
        gave = prompt.assistant(best.text, open=True)
        return bill.result(gave, best.answer, False, paths=texts)
    bill.serial(said)
    return bill.result(said.prompt, said.text, said.whole, paths=texts)


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters: its beginning and its end."""
    mark = " ... "
    if len(text) <= most:
        return text
    if most <= len(mark) + 1:
        return text[len(text) - most :]
    kept = most - len(mark)
    return text[: kept // 2] + mark + text[len(text) - (kept - kept // 2) :]
