"""The tasks by name, and specs such as `jsonl(path=mine.jsonl)`."""

from __future__ import annotations

from pathlib import Path

from weft.errors import ConfigError
from weft.evals.tasks.task import TASKS, Task
from weft.spec import written

_LINES = (".jsonl", ".ndjson")


def is_lines(text: str) -> bool:
    """Whether this is the name of a file with problems."""
    return text.strip().lower().endswith(_LINES)


def parse_task(spec: str) -> Task:
    """The task that a spec describes; a JSONL file stands for `jsonl(path=FILE)`.

    Raises:
        UnknownName: there is no such task or parameter.
        UsageError: the text is malformed, a parameter is missing or of the wrong kind.
        ConfigError: a file of the task's is wrong.
    """
    file = spec.strip()
    if is_lines(file):
        if not Path(file).expanduser().is_file():
            raise ConfigError(f"there is no file {file}; name a JSONL file, or a task")
        spec = f"jsonl(path={written(file)})"
    return TASKS.parse(spec)
