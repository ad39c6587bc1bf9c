"""The tasks by name, and specs such as `jsonl(path='mine.jsonl')`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from weft.errors import UnknownName, UsageError
from weft.evals.tasks.countdown_task import CountdownTask
from weft.evals.tasks.jsonl import JsonlTask
from weft.evals.tasks.task import Task
from weft.spec import read_spec

_TASKS: Mapping[str, type[Task]] = {t.name: t for t in (CountdownTask, JsonlTask)}


def tasks() -> Mapping[str, type[Task]]:
    """All tasks by name."""
    return _TASKS


def parameters(task: type[Task]) -> Mapping[str, inspect.Parameter]:
    """A task's parameters, with their defaults."""
    if task.__init__ is object.__init__:
        return {}
    found = dict(inspect.signature(task.__init__).parameters)
    found.pop("self")
    return found


def parse_task(spec: str) -> Task:
    """The task that a spec describes.

    Raises:
        UnknownName: there is no such task or parameter.
        UsageError: the text is malformed, a parameter is missing or of the wrong kind.
        ConfigError: a file of the task's is wrong.
    """
    try:
        read = read_spec(spec)
    except UsageError as e:
        # The reader is the strategies' own and says so.
        raise UsageError(str(e).replace("strategy", "task", 1)) from None
    if read.name not in _TASKS:
        raise UnknownName("task", read.name, _TASKS)
    task = _TASKS[read.name]
    known = parameters(task)
    for name in read.values:
        if name not in known:
            if not known:
                raise UsageError(f"task {task.name} has no parameters; leave out {name}")
            raise UnknownName(f"parameter of {task.name}", name, known)
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in read.values:
            raise UsageError(f"task {task.name} needs {name}; write {task.name}({name}=...)")
    kinds = get_type_hints(task.__init__) if known else {}
    values = {name: _value(task, name, value, kinds[name]) for name, value in read.values.items()}
    return task(**values)


def _value(task: type[Task], name: str, value: Any, kind: Any) -> Any:
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        if value not in choices:
            raise UsageError(f"{name}={value} of {task.name} must be one of {', '.join(choices)}")
        return value
    if kind is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise UsageError(f"{name}={value} of {task.name} must be a whole number")
        return value
    if not isinstance(value, str | int | float):
        raise UsageError(f"{name} of {task.name} must be a text; put it in quotes")
    return str(value)
