"""Suites: YAML files that say which strategies to run on which task, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from weft.backends.kinds.specs import from_folder as engine_from_folder
from weft.backends.kinds.specs import parse as parse_engine
from weft.config_file import ConfigFile, Place, read
from weft.errors import UsageError, WeftError
from weft.evals.failures import most_errors
from weft.evals.tasks.registry import is_lines, parse_task
from weft.evals.tasks.task import TASKS, Task
from weft.importing import absolute
from weft.importing import load as import_code
from weft.orchestrator.policy import DEFAULT
from weft.orchestrator.policy_file import load_policy
from weft.programs.budgets.fields import Budget
from weft.programs.calls.settings import check_more
from weft.search.strategy import Strategy, parse_strategy
from weft.signature import path_parameters
from weft.spec import Spec, as_text, from_folder, read_spec


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _checked(sampling: dict[str, Any]) -> dict[str, Any]:
    more = dict(sampling)
    top_p = more.pop("top_p", 1.0)
    if isinstance(top_p, bool) or not isinstance(top_p, int | float) or not 0 < top_p <= 1:
        raise UsageError(f"top_p={top_p!r} must be above 0 and at most 1")
    check_more(more)
    return sampling


def _written(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_bound(value: str) -> str:
    most_errors(value, 1)
    return value


Texts = Annotated[list[str], BeforeValidator(_listed)]


class Suite(BaseModel):
    """What an evaluation runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    imports: Texts = Field(default=[], alias="import")
    """Python files, relative to the suite's, and modules that mark what the specs name."""
    task: str
    """Spec of the task, such as `countdown` or `jsonl(path=mine.jsonl)`.

    A spec may also be written as YAML: `{jsonl: {path: mine.jsonl}}`.
    Relative paths begin at the suite's folder; a file that is only in the current folder is found
    too. The same holds for `policy`.
    """
    strategies: Annotated[Texts, Field(min_length=1)]
    """Specs of the strategies, run one after the other."""
    limit: int | None = Field(default=None, ge=1)
    """How many problems; None is all of the task's."""
    repeats: int = Field(default=1, ge=1, le=10_000)
    """How many times each strategy is asked each problem, with other chance each time."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of the choice of problems and of sampling."""
    engine: Annotated[Texts, Field(min_length=1)] | None = None
    """Engine specs; None is the task's own."""
    model: str | None = None
    """The model that solves; needed where the engines serve several."""
    replicas: int = Field(default=2, ge=1, le=64)
    """How many replicas a `local:` engine starts."""
    roles: dict[str, str] = Field(default_factory=dict[str, str])
    """Models for other roles than `solver`, such as `verifier`."""
    sampling: Annotated[dict[str, Any], AfterValidator(_checked)] = Field(
        default_factory=dict[str, Any]
    )
    """Further settings of sampling: `top_p`, `top_k`, `thinking`, `extra` ...; see `generate`."""
    policy: str = DEFAULT
    """The scheduler's: a spec, or a file that `weft tune` wrote."""
    budget: Budget = Budget()
    """For each strategy on each sample."""
    concurrency: int = Field(default=128, ge=1, le=4096)
    """Most samples under way at once."""
    max_errors: Annotated[str, BeforeValidator(_written), AfterValidator(_check_bound)] = "10%"
    """Errors of a strategy that end it, if there are more: `5`, `10%` (three at least) or `all`.

    A sample that engines refuse is no error; it counts as wrong.
    """

    def parts(self) -> tuple[Task, list[Strategy]]:
        """The task and the strategies that the specs name; the policy's is checked too.

        Raises:
            UsageError: a spec is wrong.
        """
        load_policy(self.policy)
        task = parse_task(self.task)
        strategies = {s.spec: s for s in map(parse_strategy, self.strategies)}
        return task, list(strategies.values())


def load(path: Path) -> Suite:
    """Read and check a suite file, the specs in it included.

    Raises:
        ConfigError: naming the line and the field that is wrong.
    """
    file = read(path, "suite", "task: countdown")
    folder = path.absolute().parent
    data = {key: _found_from(folder, key, value) for key, value in file.data.items()}
    file = replace(file, data=data)
    suite = file.check(Suite)
    for i, source in enumerate(suite.imports):
        _check(file, ("import", i), import_code, source)
    suite = suite.model_copy(update={"task": _task_from(folder, suite.task)})
    _check(file, ("task",), parse_task, suite.task)
    _check(file, ("policy",), load_policy, suite.policy)
    for i, spec in enumerate(suite.engine or []):
        _check(file, ("engine", i), parse_engine, spec)
    for i, spec in enumerate(suite.strategies):
        _check(file, ("strategies", i), parse_strategy, spec)
    return suite


def _found_from(folder: Path, key: str, value: Any) -> Any:
    """A field in which relative Python files are found in a folder."""
    if isinstance(value, list):
        return [_found_from(folder, key, one) for one in cast("list[Any]", value)]
    if key in ("task", "strategies", "policy"):
        value = as_text(value)
    if not isinstance(value, str):
        return value
    if key == "import":
        return absolute(value, folder)
    if key == "engine":
        return engine_from_folder(value, folder)
    if key == "policy" and value.endswith((".yaml", ".yml")):
        return _beside(folder, value)
    return from_folder(value, folder) if key in ("task", "strategies", "policy") else value


def _task_from(folder: Path, text: str) -> str:
    """A task's spec in which relative paths, of its own parameters too, are found in a folder."""
    if is_lines(text):
        return _beside(folder, text.strip())
    try:
        spec = read_spec(text, "task")
        paths = path_parameters(TASKS.find(spec.name)) & spec.values.keys()
    except UsageError:
        return text  # the check says what is wrong
    found = {name: spec.texts.get(name, str(spec.values[name])) for name in paths}
    moved = {name: _beside(folder, path) for name, path in found.items()}
    if moved == found:
        return text
    texts = {name: text for name, text in spec.texts.items() if name not in paths}
    return Spec(spec.name, {**spec.values, **moved}, texts).renamed(str)


def _beside(folder: Path, text: str) -> str:
    """A path from a folder; from the current one if the file is only there."""
    path = Path(text).expanduser()
    there = folder / path
    if path.exists() and (not there.exists() or path.samefile(there)):
        return text
    return str(there)


def _check(file: ConfigFile, place: Place, parse: Callable[[str], object], spec: str) -> None:
    try:
        parse(spec)
    except WeftError as e:
        raise file.error(place, str(e)) from None
