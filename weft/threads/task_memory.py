"""What a tree of tasks leaves in the prompt: turns, of which those of ended subtasks may go."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from pydantic import BaseModel

from weft.context import grafted
from weft.programs import Prompt


class CalledTool(BaseModel):
    """A tool that a task uses."""

    name: str
    arguments: dict[str, Any] = {}


class Subtask(BaseModel):
    """A task as a model writes it: what it thinks, a tool that it uses, its parts, its result."""

    title: str = ""
    thought: str | None = None
    tool: CalledTool | None = None
    subtasks: list[Subtask] | None = None
    conclusion: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it has a conclusion, and nothing that the conclusion would have to wait for."""
        return (
            bool(self.conclusion and self.conclusion.strip())
            and self.tool is None
            and all(one.ended for one in self.subtasks or ())
        )

    def kept(self) -> dict[str, Any]:
        """What is kept of it: without what led to conclusions that are there."""
        if self.ended:
            return {"title": self.title, "conclusion": self.conclusion}
        made = self.model_dump(exclude_defaults=True)
        if self.subtasks:
            made["subtasks"] = [one.kept() for one in self.subtasks]
        return made


class TaskStep:
    """An answer of the model, for a task.

    Args:
        said: the Prompt that ends with it.
        short: what is kept of it, where subtasks within it have ended; else None.
    """

    def __init__(self, said: Prompt, short: str | None) -> None:
        self.said, self.short, self.pruned = said, short, False

    def pieces(self) -> Iterator[Prompt]:
        """The turn that it leaves."""
        if self.pruned and self.short is not None:
            yield Prompt.assistant(self.short)
        else:
            yield self.said


class OpenTask:
    """A task with all that was said for it, the tasks within it at their places.

    Args:
        number: its place in the tree, such as `2.1`; empty for the whole.
        title: what is to be done.
        within: the task that it is a part of.
    """

    def __init__(self, number: str, title: str, within: OpenTask | None) -> None:
        self.number, self.title = number, title
        self.depth: int = within.depth + 1 if within is not None else 0
        self.said: list[Prompt | TaskStep | OpenTask] = []
        self.conclusion: str | None = None
        self.pruned = False
        if within is not None:
            within.said.append(self)

    @property
    def opening(self) -> str:
        """What the model is told when it comes to the task."""
        return f"Now subtask {self.number}: {self.title}"

    def pieces(self) -> Iterator[Prompt]:
        """The turns that it leaves: all of them, or its conclusion alone."""
        if self.pruned:
            yield Prompt.user(self.opening)
            kept = {"title": self.title, "conclusion": self.conclusion}
            yield Prompt.assistant(json.dumps(kept, ensure_ascii=False))
            return
        for one in self.said:
            if isinstance(one, Prompt):
                yield one
            else:
                yield from one.pieces()

    def prunable(self) -> Iterator[OpenTask | TaskStep]:
        """What may be pruned, in the order of the text; of an ended task all or nothing."""
        for one in self.said:
            if isinstance(one, TaskStep):
                if one.short is not None and not one.pruned:
                    yield one
            elif isinstance(one, OpenTask):
                if one.conclusion is None:
                    yield from one.prunable()
                elif not one.pruned:
                    yield one

    def tasks(self) -> Iterator[OpenTask]:
        """The task, and all within it."""
        yield self
        for one in self.said:
            if isinstance(one, OpenTask):
                yield from one.tasks()


class TaskMemory:
    """The prompt of a tree of tasks, kept small.

    Args:
        prompt: what stands before all.
        most: tokens of the prompt above which ended subtasks are pruned; None prunes always.
        buffer: how many of the subtasks that ended last are pruned last, or not at all if `most`
            is None.
        size: counts the tokens of a prompt.

    Attributes:
        whole: the task that all others are parts of.
        path: the prompt by now.
        pruned: how often something was pruned.
    """

    def __init__(
        self,
        prompt: Prompt,
        most: int | None,
        buffer: int,
        size: Callable[[Prompt], Awaitable[int]],
    ) -> None:
        self._base, self._most, self._buffer, self._size = prompt, most, buffer, size
        self.whole = OpenTask("", "the whole", None)
        self.path = prompt
        self.pruned = 0

    async def fit(self) -> None:
        """Prune ended subtasks as the rule says.

        The latest goes first: only what stands behind it is prefilled again, and the prefix stays
        in the engine's cache. Those of the buffer go last. It ends a quarter below `most`, so that
        the next step does not prune again.
        """
        most = self._most
        if most is not None and await self._size(self.path) <= most:
            return
        ended = list(self.whole.prunable())
        older = len(ended) - self._buffer if self._buffer else len(ended)
        older = max(0, older)
        order = [*reversed(ended[:older]), *(reversed(ended[older:]) if most is not None else ())]
        for one in order:
            one.pruned = True
            self.pruned += 1
            if most is not None:
                self._build()
                if await self._size(self.path) <= most - most // 4:
                    return
        if order and most is None:
            self._build()

    def _build(self) -> None:
        self.path = grafted(self._base, self.whole.pieces())
