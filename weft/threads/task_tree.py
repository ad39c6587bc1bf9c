"""A tree of tasks, of which the model is asked for one answer after the other, depth first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from weft.programs import Completion, generate, node
from weft.programs.calls.json_text import json_texts
from weft.programs.calls.settings import CallSettings
from weft.programs.tools.acting import act
from weft.programs.tools.calls import checked, numbered
from weft.programs.tools.told import call_schema
from weft.threads.spawn import Bill
from weft.threads.task_memory import CalledTool, OpenTask, Subtask, TaskMemory, TaskStep
from weft.types import ToolCall

if TYPE_CHECKING:
    from weft.programs.tools.marking import Tool

GO_ON = "Go on with {what}."
UNREAD = "This is no JSON object of the form that was asked for{why}. Answer again."
DEEP = "Subtasks can't be nested deeper: work this one out without parts."
LAST = "There are no steps left. Give the conclusion of the whole now."
_TRIES = 2
"""Answers in a row that can't be read, behind which the text itself is the conclusion."""


class TaskTree:
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
async def subtask(tree: TaskTree, part: OpenTask, given: Subtask) -> str | None:
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
