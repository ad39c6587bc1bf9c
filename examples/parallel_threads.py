"""Threads: one answer that several threads write side by side, and what that saves.

`outline` works with any model. The other ways are protocols that models are trained for; a model
that does not know the marks simply answers.

    weft run examples/parallel_threads.py -a question="..." -a way=outline -e ENGINE
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from weft import Prompt, program
from weft.threads import Threaded, fork_join, outline, parallel_paths, rounds, subsearches

WAYS: dict[str, Callable[[Prompt], Awaitable[Threaded]]] = {
    "outline": outline,
    "threadweaver": fork_join,
    "multiverse": lambda prompt: fork_join(prompt, "multiverse"),
    "apr": lambda prompt: subsearches(prompt, child=lambda part: Prompt.user(f"Search: {part}")),
    "parathinker": lambda prompt: parallel_paths(prompt, n=3),
    "hogwild": lambda prompt: rounds(prompt, ["Ada", "Ben"], most=4),
}


@dataclass
class Written:
    """An answer, and how long its way was.

    Attributes:
        text: the answer.
        tokens: what all threads wrote.
        critical: what was written one after the other: a reader waits for no more than this.
    """

    text: str
    tokens: int
    critical: int


@program
async def threads(question: str = "Compare bees and moss.", way: str = "outline") -> Written:
    """An answer in threads."""
    done = await WAYS[way](Prompt.user(question))
    return Written(done.text, done.tokens, done.critical_tokens)
