"""The suite that a command asks for: a file or a task, with the command's options laid over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.cli.common import pairs
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.evals.suites.suite import Suite


def settings(option: str, given: list[str]) -> dict[str, Any]:
    """`name=value` options as a dict, values read as YAML has them."""
    import yaml

    try:
        return {name: yaml.safe_load(value) for name, value in pairs(option, given).items()}
    except yaml.YAMLError:
        raise UsageError(f"{option} {' '.join(given)}: a value can't be read; quote it") from None


def overlaid(what: str, given: dict[str, Any]) -> Suite:
    """The suite of a file or a task, with the options of the command line laid over it."""
    from pydantic import ValidationError

    from weft.evals.suites.suite import Suite, load
    from weft.evals.tasks.registry import parse_task
    from weft.parts.spec import written

    suite_file = _is_suite(what)
    if suite_file and _holds_lines(what):
        what, suite_file = f"jsonl(path={written(what)})", False
    if suite_file:
        base = load(Path(what)).model_dump(by_alias=True)
    else:
        task = parse_task(what)
        base = load(task.suite).model_dump(by_alias=True) if task.suite else {}
        base["task"] = what
        if not base.get("strategies") and not given.get("strategies"):
            raise UsageError(f"task {task.name} has no suite of its own; give --strategy SPEC")
    if "model" in given:
        base.pop("models", None)
    if not suite_file:
        base.pop("tasks", None)
    try:
        suite = Suite.model_validate({**base, **given})
    except ValidationError as e:
        error = e.errors()[0]
        name = ".".join(str(p) for p in error["loc"] if not str(p).startswith("function-"))
        message = error["msg"].removeprefix("Value error, ")
        option = name.replace("strategies", "strategy").replace("_", "-")
        raise UsageError(
            f"--{option}: {message[0].lower()}{message[1:]}, not {error['input']!r}"
        ) from None
    for part in suite.by_part().values() or [suite]:
        part.parts()
    return suite


def _is_suite(what: str) -> bool:
    """Whether this is a suite's file, rather than the spec of a task or a file of problems."""
    from weft.evals.tasks.registry import is_lines

    if what.endswith((".yaml", ".yml")):
        return True
    return Path(what).is_file() and not is_lines(what) and not what.endswith(".py")


def _holds_lines(file: str) -> bool:
    """Whether a file begins with an object on a line, as files of problems do and suites do not."""
    import json

    try:
        with Path(file).open("rb") as lines:
            first: Any = json.loads(lines.readline(1 << 20))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "task" not in first and "tasks" not in first


def title(what: str, suite: Suite) -> str:
    """What the folder is called after: the task, or the suite's file where it has several."""
    from weft.evals.tasks.registry import task_title

    return task_title(suite.task) if suite.task else Path(what).stem
