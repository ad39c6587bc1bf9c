"""Planned answers: a tree of tasks, subproblems by their difficulty, or a plan in code.

`tim` takes the question apart, and of a task that has ended only the conclusion stays in the prompt
(TIM, 2025). `scale` thinks only about difficult subproblems (SCALE, 2025). `codeplan` writes a plan
as code, and then the answer (CodePlan, 2024).

    weft run examples/subtasks.py -a question="..." -a way=scale -e ENGINE
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from weft import Prompt, program, tool
from weft.threads import Threaded, code_plan, gated, tim

LEGS = {"bee": 6, "goat": 4, "hen": 2}


@tool
async def legs_of(animal: str) -> int:
    """How many legs an animal has."""
    return LEGS[animal]


WAYS: dict[str, Callable[[Prompt], Awaitable[Threaded]]] = {
    "tim": lambda prompt: tim(prompt, tools=[legs_of]),
    "scale": lambda prompt: gated(prompt, ways=1),
    "codeplan": code_plan,
}


@dataclass
class Worked:
    """An answer, and how it came about.

    Attributes:
        text: the answer.
        tokens: all that was written for it.
        about: what the way tells: tasks, difficulties, or the plan.
    """

    text: str
    tokens: int
    about: dict[str, Any]


@program
async def subtasks(
    question: str = "How many legs have two bees and a goat?", way: str = "tim"
) -> Worked:
    """An answer to a question of several parts."""
    done = await WAYS[way](Prompt.user(question))
    return Worked(done.text, done.tokens, dict(done.details))
