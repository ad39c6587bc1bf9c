"""tim: an answer as a tree of tasks, of which ended ones leave their conclusions alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from weft.context import added
from weft.errors import BudgetExceeded, EngineError, UsageError
from weft.programs import Prompt, node
from weft.programs.calls.count import count
from weft.programs.calls.settings import CallSettings
from weft.programs.tools.marking import tools_of
from weft.threads.spawn import Threaded
from weft.threads.task_memory import Subtask, TaskMemory
from weft.threads.task_tree import TaskTree
from weft.types import MoreSampling

if TYPE_CHECKING:
    from weft.programs.tools.marking import Tool

RULES = """Work on this as a tree of tasks. Each answer is one JSON object, a task: its title, \
your thought{tool}, its subtasks, or its conclusion. Give subtasks where the task has parts, at \
most {width}, each with its title; you are asked for them one by one. Give the conclusion when \
you know it: it is all that is remembered of the task, so it must hold what others need. The \
conclusion of the whole is the answer."""
USES = ", one tool that it uses (its result comes next)"
TOOLS = "\n\nThe tools, with the JSON schemas of their arguments:\n{tools}"


@node
async def tim(
    prompt: Prompt,
    *,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    memory: int | None = None,
    buffer: int = 1,
    depth: int = 4,
    width: int = 8,
    steps: int = 64,
    step_tokens: int = 1024,
    temperature: float = 0.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Threaded:
    """Answer by a tree of tasks, whose ended subtasks leave the context but for conclusions.

    Each answer of the model is a task by a recursive schema: thought, tool, subtasks, conclusion.
    Subtasks without a conclusion are worked on one after the other, depth first; subtasks that
    the model works out within its answer count as they are. When a task ends, what was said for
    it may be pruned: its conclusion stays. What is left keeps the tokens that the model produced,
    and what stands before the cut stays in the engine's cache.

    TIM, the Thread Inference Model (2025, arXiv 2507.16784): there one generation is pruned
    within the engine by a trained model; here the context is built anew between calls, and the
    engine prefills again what stands behind a cut. So a limit (`memory`) prunes late subtasks
    first, and as few as needed.

    Args:
        prompt: the conversation.
        tools: functions that a task may use, one at a time. Errors are results.
        memory: tokens of the prompt above which ended subtasks are pruned, the latest first, until
            a quarter is free. None prunes each when it has left the buffer, as the paper does.
        buffer: how many of the subtasks that ended last stay whole; with `memory`, they go last.
        depth: how deep subtasks are nested at most.
        width: most subtasks of a task that are asked for at once; further ones are left out.
        steps: most answers of the model; the last is asked for the conclusion of the whole.
        step_tokens: most tokens of an answer.
        temperature: 0 is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models writes.
        **more: settings that few calls need.

    Returns:
        The answer; `threads` counts the subtasks that were worked on. `details` has `tasks`
        (number, title and conclusion of each), `steps`, `pruned`, and `peak`, the tokens of the
        longest prompt.

    Raises:
        UsageError: an argument is out of range.
        EngineError: no engine could write the first answer.
        BudgetExceeded: the budget ended before there was a conclusion.
    """
    for name, number, least in (
        ("memory", memory, 1),
        ("buffer", buffer, 0),
        ("depth", depth, 0),
        ("width", width, 1),
        ("steps", steps, 1),
        ("step_tokens", step_tokens, 1),
    ):
        if number is not None and (type(number) is not int or number < least):
            raise UsageError(f"tim {name}={number!r} must be a whole number from {least} on")
    offered = tools_of(tools)
    settings: CallSettings = {
        **more,
        "max_tokens": step_tokens,
        "temperature": temperature,
        "seed": seed,
        "role": role,
    }
    definitions = [one.definition["function"] for one in offered.values()]
    asked = added(prompt, _rules(definitions, width))
    memorised = TaskMemory(asked, memory, buffer, partial(count, role=role, **more))
    worked = TaskTree(memorised, offered, definitions, settings, depth, width, steps)
    whole, bill = memorised.whole, worked.bill
    ended = False
    try:
        whole.conclusion = await worked.work(whole, Subtask())
        ended = whole.conclusion is not None
        if not ended:
            whole.conclusion = await worked.finish()
    except BudgetExceeded:
        if worked.text is None:
            raise
    except EngineError:
        if not bill.tokens:
            raise
    text = whole.conclusion if whole.conclusion is not None else worked.text or worked.unread
    return bill.result(
        memorised.path,
        text,
        ended,
        tasks=[(one.number, one.title, one.conclusion) for one in whole.tasks()],
        steps=worked.steps - worked.left,
        pruned=memorised.pruned,
        peak=worked.peak,
    )


def _rules(definitions: Sequence[dict[str, Any]], width: int) -> str:
    rules = RULES.format(width=width, tool=USES if definitions else "")
    told = "\n".join(json.dumps(one, ensure_ascii=False) for one in definitions)
    return rules + (TOOLS.format(tools=told) if told else "")
