"""fork_join: a model that marks where its answer forks, as ThreadWeaver and Multiverse do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Unpack

from weft.errors import BudgetExceeded, EngineError, UnknownName, UsageError
from weft.programs import Prompt, generate, node
from weft.threads.spawn import Bill, Thread, Threaded, spawn
from weft.types import MoreSampling


@dataclass(frozen=True)
class Markup:
    """The marks by which a model forks and joins.

    Attributes:
        begin: opens a block.
        outlines_end: closes the outlines; the threads begin here.
        outline: a pattern that finds an outline; its group `number` is the thread's number.
        thread: opens a thread; `{number}` stands for its number.
        thread_end: closes a thread.
        end: closes the block, behind the threads.
    """

    begin: str
    outlines_end: str
    outline: str
    thread: str
    thread_end: str
    end: str


MARKUPS = {
    "threadweaver": Markup(
        "<Parallel>",
        "</Outlines>",
        r"<Outline>\s*(?P<number>\d+)\s*:.*?</Outline>",
        "\n<Thread>\n{number}:",
        "</Thread>",
        "\n</Parallel>",
    ),
    "multiverse": Markup(
        "<Parallel>",
        "</Goal>",
        r"<Outline>\s*(?P<number>\d+)\s*:.*?</Outline>",
        "\n<Path>\n{number}:",
        "</Path>",
        "\n<Conclusion>",
    ),
}
"""The marks of ThreadWeaver (2025), and of Multiverse (2025), whose engine merges KV."""


@node
async def fork_join(
    prompt: Prompt,
    markup: Markup | str = "threadweaver",
    *,
    max_tokens: int = 4096,
    thread_tokens: int = 2048,
    blocks: int = 8,
    width: int = 16,
    temperature: float = 1.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Threaded:
    """Write an answer that forks where the model says so.

    The model writes up to the end of its outlines. Each outline becomes a thread, which goes on
    from the same text and does not see the others. The threads' texts are joined in the order of
    the outlines, and the model goes on behind them. Outlines that can't be read leave the answer
    sequential, and nothing is lost. A block within a thread is refused: the thread ends there.

    ThreadWeaver (2025, arXiv 2512.07843); with `multiverse` the text protocol of Multiverse
    (2025). Models that were not trained for the marks do not write them: see `outline`.

    Args:
        prompt: the conversation.
        markup: the marks that the model was trained for: `threadweaver`, `multiverse`, or others.
        max_tokens: most tokens that the main line generates.
        thread_tokens: most tokens of each thread.
        blocks: how many blocks may fork; further ones are written sequentially.
        width: most threads of a block; of more outlines the block stays sequential.
        temperature: 0 is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models writes.
        **more: settings that few calls need.

    Raises:
        UsageError: an argument is out of range.
        EngineError: no engine could write the first piece of the answer.
    """
    for name, number in (("max_tokens", max_tokens), ("thread_tokens", thread_tokens)):
        if number < 1:
            raise UsageError(f"{name}={number} must be at least 1")
    if not isinstance(markup, Markup):
        if markup not in MARKUPS:
            raise UnknownName("markup", markup, MARKUPS)
        markup = MARKUPS[markup]
    bill, path, began = Bill(), prompt, len(prompt.answer)
    left, forked = max_tokens, 0

    def answer() -> str:
        return path.answer[began:]

    try:
        while left > 0:
            stop = markup.outlines_end if forked < blocks else ()
            said = await generate(
                path,
                max_tokens=left,
                temperature=temperature,
                stop=stop,
                seed=seed,
                role=role,
                **more,
            )
            bill.serial(said)
            left -= said.usage.completion
            path = said.prompt
            if said.ended or said.finish_reason != "stop":
                return bill.result(path, answer(), said.ended, blocks=forked)
            numbers = _outlines(answer(), markup)
            if not 2 <= len(numbers) <= width:
                continue  # no outlines that can be read: the answer stays sequential
            forked += 1
            heads = [markup.thread.format(number=number) for number in numbers]
            threads = await spawn(
                [path.assistant(head, open=True) for head in heads],
                max_tokens=thread_tokens,
                temperature=temperature,
                stop=(markup.thread_end, markup.outlines_end),
                seed=seed,
                role=role,
                **more,
            )
            bill.parallel(threads)
            joined = [h + _closed(t, markup) for h, t in zip(heads, threads, strict=True)]
            path = path.assistant("".join(joined) + markup.end, open=True)
    except BudgetExceeded as over:
        path = path.assistant(over.text, open=True) if over.text else path
    except EngineError:
        if not bill.tokens:
            raise
    return bill.result(path, answer(), False, blocks=forked)


def _outlines(text: str, markup: Markup) -> list[str]:
    """The numbers of the outlines of the last block; none if two are the same."""
    block = text[max(text.rfind(markup.begin), 0) :]
    found = [m["number"] for m in re.finditer(markup.outline, block, re.DOTALL)]
    return found if len(set(found)) == len(found) else []


def _closed(thread: Thread, markup: Markup) -> str:
    """What is joined of a thread: without a block that it began, and closed."""
    text = thread.text.partition(markup.begin)[0]
    head, closed, _ = text.partition(markup.thread_end)
    return head + (closed or markup.thread_end)
