"""The tasks by name, and specs such as `jsonl(path=mine.jsonl)`."""

from __future__ import annotations

import re
from pathlib import Path

from weft.errors import ConfigError
from weft.evals.tasks.task import TASKS, Task
from weft.parts.spec import read_spec, written

_FILES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
"""The tasks that read files with problems, by the ends of the files' names."""
_INSPECT = re.compile(r"(?P<path>[^()]+\.py)@(?P<name>\w+)")


def is_lines(text: str) -> bool:
    """Whether this is the name of a file with problems."""
    return Path(text.strip().lower()).suffix in _FILES and "(" not in text


def file_spec(file: str) -> str:
    """The spec of the task that reads a file with problems."""
    return f"{_FILES[Path(file.strip().lower()).suffix]}(path={written(file.strip())})"


def long_form(text: str) -> str:
    """The spec that a short form stands for; any other text as it is.

    `FILE.jsonl` is `jsonl(path=FILE.jsonl)`, and so for CSV. `FILE.py@NAME` is Inspect's way to
    name a task of its own. A folder with a `task.toml` is a task of Harbor.
    """
    short = text.strip()
    if is_lines(short):
        return file_spec(short)
    if found := _INSPECT.fullmatch(short):
        return f"inspect(path={written(found['path'])}, name={found['name']})"
    if "(" not in short and (Path(short).expanduser() / "task.toml").is_file():
        return f"harbor(path={written(short)})"
    return text


def task_title(spec: str) -> str:
    """What folders of a task are called after: the file of its problems, or its name."""
    if is_lines(spec):
        return Path(spec.strip()).stem
    return read_spec(long_form(spec), "task").name.rpartition(":")[2]


def parse_task(spec: str) -> Task:
    """The task that a spec describes, or that a short form stands for.

    Raises:
        UnknownName: there is no such task or parameter.
        UsageError: the text is malformed, a parameter is missing or of the wrong kind.
        ConfigError: a file of the task's is wrong.
    """
    file = spec.strip()
    if is_lines(file) and not Path(file).expanduser().is_file():
        raise ConfigError(f"there is no file {file}; name a JSONL or CSV file, or a task")
    return TASKS.parse(long_form(spec))
