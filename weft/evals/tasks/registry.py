"""The tasks by name, and specs such as `jsonl(path=mine.jsonl)`."""

from __future__ import annotations

from pathlib import Path

from weft.errors import ConfigError
from weft.evals.tasks.task import TASKS, Task
from weft.spec import written

_FILES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
"""The tasks that read files with problems, by the ends of the files' names."""


def is_lines(text: str) -> bool:
    """Whether this is the name of a file with problems."""
    return Path(text.strip().lower()).suffix in _FILES and "(" not in text


def file_spec(file: str) -> str:
    """The spec of the task that reads a file with problems."""
    return f"{_FILES[Path(file.strip().lower()).suffix]}(path={written(file.strip())})"


def parse_task(spec: str) -> Task:
    """The task that a spec describes; `FILE.jsonl` is `jsonl(path=FILE.jsonl)`, and so for CSV.

    Raises:
        UnknownName: there is no such task or parameter.
        UsageError: the text is malformed, a parameter is missing or of the wrong kind.
        ConfigError: a file of the task's is wrong.
    """
    file = spec.strip()
    if is_lines(file):
        if not Path(file).expanduser().is_file():
            raise ConfigError(f"there is no file {file}; name a JSONL or CSV file, or a task")
        spec = file_spec(file)
    return TASKS.parse(spec)
