"""tim: an answer as a tree of tasks, of which ended ones leave their conclusions alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from pydantic import ValidationError

from weft.context import added
from weft.errors import BudgetExceeded, EngineError, UsageError
from weft.programs import Completion, Prompt, generate, node
from weft.programs.calls.count import count
from weft.programs.calls.json_text import json_texts
from weft.programs.calls.settings import CallSettings
from weft.programs.tools.acting import act
from weft.programs.tools.calls import checked, numbered
from weft.programs.tools.marking import tools_of
from weft.programs.tools.told import call_schema
from weft.threads.spawn import Bill, Threaded
from weft.threads.task_memory import CalledTool, OpenTask, Subtask, TaskMemory, TaskStep
from weft.types import MoreSampling, ToolCall

if TYPE_CHECKING:
    from weft.programs.tools.marking import Tool

RULES = """Work on this as a tree of tasks. Each answer is one JSON object, a task: its title, \
your thought{tool}, its subtasks, or its conclusion. Give subtasks where the task has parts, at \
most {width}, each with its title; you are asked for them one by one. Give the conclusion when \
you know it: it is all that is remembered of the task, so it must hold what others need. The \
conclusion of the whole is the answer."""
USES = ", one tool that it uses (its result comes next)"
TOOLS = "\n\nThe tools, with the JSON schemas of their arguments:\n{tools}"
GO_ON = "Go on with {what}."
UNREAD = "This is no JSON object of the form that was asked for{why}. Answer again."
DEEP = "Subtasks can't be nested deeper: work this one out without parts."
LAST = "There are no steps left. Give the conclusion of the whole now."

_TRIES = 2
"""Answers in a row that can't be read, behind which the text itself is the conclusion."""


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
    worked = _TaskTree(memorised, offered, definitions, settings, depth, width, steps)
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


class _TaskTree:
    """Works on tasks, depth first."""

    def __init__(
        self,
        memory: TaskMemory,
        tools: dict[str, Tool],
        definitions: list[dict[str, Any]],
        settings: CallSettings,
        depth: int,
        width: int,
        steps: int,
    ) -> None:
        self.memory, self.tools, self.settings = memory, tools, settings
        self.depth, self.width, self.steps, self.left = depth, width, steps, steps
        self.schema = task_schema(definitions, width)
        self.bill, self.peak, self.unread = Bill(), 0, ""

    @property
    def text(self) -> str | None:
        """The conclusions that there are, where there is none of the whole; None without any."""
        top = [one for one in self.memory.whole.said if isinstance(one, OpenTask)]
        found = [f"{one.title}: {one.conclusion}" for one in top if one.conclusion is not None]
        return "\n".join(found) or None

    async def work(self, task: OpenTask, given: Subtask) -> str | None:
        """Work on a task up to its conclusion; None if the steps are used up before.

        Args:
            task: the task.
            given: what the model has written of it by now.
        """
        note = task.opening if task.number else ""
        while True:
            parts = [one for one in given.subtasks or () if not one.ended][: self.width]
            if given.ended:
                return given.conclusion
            if given.tool is not None:
                note = _lines(note, await self._use(given.tool))
            elif parts and task.depth >= self.depth:
                note = _lines(note, DEEP)
            elif parts:
                for part in parts:
                    if not await self._part(task, part):
                        return None
                note = ""
            what = f"subtask {task.number}: {task.title}" if task.number else "the whole"
            begun = bool(task.said) or note
            ask = note if note == task.opening else _lines(note, GO_ON.format(what=what))
            answer = await self._step(task, ask if begun else "")
            if answer is None:
                return None
            given, note = answer, ""

    async def _part(self, task: OpenTask, given: Subtask) -> bool:
        """Work on a subtask; whether it has come to its conclusion."""
        at = sum(isinstance(one, OpenTask) for one in task.said) + 1
        number = f"{task.number}.{at}" if task.number else str(at)
        part = OpenTask(number, given.title.strip() or "(without a title)", task)
        self.bill.threads += 1
        part.conclusion = await subtask(self, part, given)
        return part.conclusion is not None

    async def _use(self, tool: CalledTool) -> str:
        call = ToolCall(tool.name, json.dumps(tool.arguments))
        made = numbered([call], self.memory.path.key)
        results = await act([checked(one, self.tools, cut=False) for one in made], self.tools)
        return f"Result of {tool.name}:\n{results[0].text}"

    async def _step(self, task: OpenTask, note: str) -> Subtask | None:
        """The model's next answer for a task; None if no step is left for it."""
        for _ in range(_TRIES):
            if self.left <= min(1, self.steps - 1):  # the last one is asked for the whole
                return None
            said = await self._ask(task, note, self.schema)
            read = _read(said.text)
            short = _short(read)
            task.said.append(TaskStep(said.prompt, short))
            if read is not None:
                return read
            self.unread = said.text.strip()
            cut = ", for it was cut off: answer more briefly" if not said.whole else ""
            note = UNREAD.format(why=cut)
        return Subtask(conclusion=self.unread or "(none)")

    async def _ask(self, task: OpenTask, note: str, schema: dict[str, Any]) -> Completion:
        memory = self.memory
        if note:
            memory.path = memory.path.user(note)
            task.said.append(memory.path)
        await memory.fit()
        self.left -= 1
        said = await generate(memory.path, schema=schema, **self.settings)
        memory.path = said.prompt
        self.bill.serial(said)
        self.peak = max(self.peak, said.usage.prompt)
        return said

    async def finish(self) -> str | None:
        """The conclusion of the whole, now."""
        if not self.left:
            return None
        said = await self._ask(self.memory.whole, LAST, CONCLUSION)
        read = _read(said.text)
        return (read.conclusion if read is not None else said.text.strip()) or None


@node
async def subtask(tree: _TaskTree, part: OpenTask, given: Subtask) -> str | None:
    """Work on a part of a task."""
    return await tree.work(part, given)


CONCLUSION: dict[str, Any] = {
    "type": "object",
    "properties": {"conclusion": {"type": "string"}},
    "required": ["conclusion"],
    "additionalProperties": False,
}


def task_schema(definitions: Sequence[dict[str, Any]], width: int) -> dict[str, Any]:
    """The recursive JSON schema of a task.

    Args:
        definitions: of the tools, each as OpenAI's `function`.
        width: most subtasks of a task.
    """
    defs: dict[str, Any] = {}
    calls = [call_schema(one, defs) for one in definitions]
    tool = {"tool": {"anyOf": [*calls, {"type": "null"}]}} if calls else {}
    parts = {"type": "array", "items": {"$ref": "#/$defs/Subtask"}, "maxItems": width}
    task: dict[str, Any] = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "thought": {"type": "string"},
            **tool,
            "subtasks": parts,
            "conclusion": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["title"],
        "additionalProperties": False,
    }
    return {**task, "$defs": {"Subtask": task, **defs}}


def _rules(definitions: Sequence[dict[str, Any]], width: int) -> str:
    rules = RULES.format(width=width, tool=USES if definitions else "")
    told = "\n".join(json.dumps(one, ensure_ascii=False) for one in definitions)
    return rules + (TOOLS.format(tools=told) if told else "")


def _read(text: str) -> Subtask | None:
    for found in json_texts(text):
        try:
            return Subtask.model_validate_json(found)
        except ValidationError:
            continue
    return None


def _short(read: Subtask | None) -> str | None:
    """What is kept of an answer where a subtask within it has ended."""
    if read is None or read.ended or not any(one.ended for one in read.subtasks or ()):
        return None
    return json.dumps(read.kept(), ensure_ascii=False)


def _lines(*texts: str) -> str:
    return "\n\n".join(filter(None, texts))
