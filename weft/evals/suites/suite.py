"""Suites: YAML files that say which strategies to run on which task, and how."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from weft.backends.kinds.specs import from_folder as engine_from_folder
from weft.backends.kinds.specs import parse as parse_engine
from weft.config_file import ConfigFile, Place, read
from weft.errors import ConfigError, UnknownName, UsageError, WeftError
from weft.evals.suites.failures import most_errors
from weft.evals.suites.grid import cells, listed
from weft.evals.tasks.registry import is_lines, long_form, parse_task, task_title
from weft.evals.tasks.task import TASKS, Task
from weft.orchestrator.policy import DEFAULT
from weft.orchestrator.policy_file import load_policy
from weft.parts.importing import absolute
from weft.parts.importing import load as import_code
from weft.parts.signature import path_parameters
from weft.parts.spec import Spec, as_text, from_folder, read_spec
from weft.programs.budgets.fields import Budget
from weft.programs.calls.settings import check_more
from weft.search.strategy import Strategy, parse_strategy


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
Priority = Annotated[int, Field(ge=-1000, le=1000)]


class Suite(BaseModel):
    """What an evaluation runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    imports: Texts = Field(default=[], alias="import")
    """Python files, relative to the suite's, and modules that mark what the specs name."""
    task: str = ""
    """Spec of the task, such as `countdown` or `jsonl(path=mine.jsonl)`.

    A spec may also be written as YAML: `{jsonl: {path: mine.jsonl}}`.
    Relative paths begin at the suite's folder; a file that is only in the current folder is found
    too. The same holds for `policy`.
    """
    tasks: Texts = []
    """Several tasks, one after the other, each in a folder of its own within the evaluation's;
    instead of `task`.
    """
    strategies: Annotated[Texts, Field(min_length=1)]
    """Specs of the strategies, run one after the other."""
    sweep: Annotated[dict[str, list[Any]], BeforeValidator(listed)] = Field(
        default_factory=dict[str, list[Any]]
    )
    """Settings with the values that the strategies are run under, in every combination: any of
    their parameters, and what `asked` sets, such as `top_p`, `prompt` and `tokens`.
    """
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
    models: Texts = []
    """Several models that solve, one after the other, each in a folder of its own within the
    evaluation's; instead of `model`.
    """
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
    priority: Priority | dict[str, Priority] = 0
    """Calls with a lower number go before those of other runs, in engines that schedule by priority
    too: one for all, or by a strategy's spec.
    """
    check: float = Field(default=0.0, ge=0, le=1)
    """The share of calls that a second engine of the model is asked too, so that engines which
    say something else are noticed.
    """
    batch: bool = False
    """Whether calls go by the endpoints' batches (`openai:` engines): for less, within a day."""
    retries: int = Field(default=0, ge=0, le=100)
    """How many times a sample that failed is tried again at once."""
    on_error: Literal["again", "wrong"] = "again"
    """What a sample is that still fails: no result, until the same command tries it `again`; or
    `wrong`, until then.
    """
    max_errors: Annotated[str, BeforeValidator(_written), AfterValidator(_check_bound)] = "10%"
    """Errors of a strategy that end it, if there are more: `5`, `10%` (three at least) or `all`.

    A sample that engines refuse is no error; it counts as wrong.
    """

    @model_validator(mode="after")
    def _one_way(self) -> Suite:
        if bool(self.task) == bool(self.tasks):
            raise ValueError("name what is asked: one task under task, or several under tasks")
        if self.models and self.model is not None:
            raise ValueError("model and models both say who solves; leave one of them out")
        return self

    def by_part(self) -> dict[str, Suite]:
        """The suite of each of several tasks and models, by the path of its folder; else none."""
        if not self.tasks and not self.models:
            return {}
        none, found = list[str](), dict[str, Suite]()
        for task in self.tasks or [self.task]:
            for model in self.models or [self.model]:
                names = [task_title(task)] if self.tasks else []
                names += [model] if self.models and model is not None else []
                path = name = "/".join(re.sub(r"[^\w.-]+", "-", one) for one in names)
                number = 1
                while path in found:
                    number += 1
                    path = f"{name}-{number}"
                own = {"task": task, "tasks": none, "model": model, "models": none}
                found[path] = self.model_copy(update=own)
        return found

    def priorities(self, strategies: Sequence[Strategy]) -> dict[str, int]:
        """The priority of each strategy, by its spec.

        Raises:
            UsageError: one is named that is not run.
        """
        specs = [s.spec for s in strategies]
        if isinstance(self.priority, int):
            return dict.fromkeys(specs, self.priority)
        found = {parse_strategy(name).spec: number for name, number in self.priority.items()}
        if unknown := [name for name in found if name not in specs]:
            raise UnknownName("strategy under priority", unknown[0], specs)
        return found

    def parts(self) -> tuple[Task, list[Strategy]]:
        """The task and the strategies that the specs name; the policy's is checked too.

        Raises:
            UsageError: a spec is wrong.
        """
        load_policy(self.policy)
        task = parse_task(self.task)
        specs = cells(self.strategies, self.sweep) if self.sweep else self.strategies
        strategies = {s.spec: s for s in map(parse_strategy, specs)}
        self.priorities(list(strategies.values()))
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
    suite = _with_tasks(folder, suite)
    if suite.task:
        _check(file, ("task",), parse_task, suite.task)
    for i, spec in enumerate(suite.tasks):
        _check(file, ("tasks", i), parse_task, spec)
    _check(file, ("policy",), load_policy, suite.policy)
    for i, spec in enumerate(suite.engine or []):
        _check(file, ("engine", i), parse_engine, spec)
    for i, spec in enumerate(suite.strategies):
        _check(file, ("strategies", i), parse_strategy, spec)
    _check(file, ("sweep",), lambda _: cells(suite.strategies, suite.sweep), "")
    return suite


def restored(folder: Path, data: Mapping[str, Any]) -> Suite:
    """A suite that was run in a folder, as an evaluation's session has kept it.

    Raises:
        ConfigError: it can't be run any more.
    """
    found = {key: _found_from(folder, key, value) for key, value in data.items()}
    try:
        suite = Suite.model_validate(found)
    except ValidationError as e:
        raise ConfigError(f"the suite that was kept is no suite: {e.errors()[0]['msg']}") from None
    for source in suite.imports:
        import_code(source)
    return _with_tasks(folder, suite)


def _with_tasks(folder: Path, suite: Suite) -> Suite:
    """The suite with files of its tasks found in a folder."""
    task = task_from(folder, suite.task) if suite.task else ""
    return suite.model_copy(
        update={"task": task, "tasks": [task_from(folder, one) for one in suite.tasks]}
    )


_SPECS = ("task", "tasks", "strategies", "policy")


def _found_from(folder: Path, key: str, value: Any) -> Any:
    """A field in which relative Python files are found in a folder."""
    if isinstance(value, list):
        return [_found_from(folder, key, one) for one in cast("list[Any]", value)]
    if key in _SPECS:
        value = as_text(value)
    if not isinstance(value, str):
        return value
    if key == "import":
        return absolute(value, folder)
    if key == "engine":
        return engine_from_folder(value, folder)
    if key == "policy" and value.endswith((".yaml", ".yml")):
        return _beside(folder, value)
    return from_folder(value, folder) if key in _SPECS else value


def task_from(folder: Path, text: str) -> str:
    """A task's spec in which relative paths, of its own parameters too, are found in a folder."""
    if is_lines(text):
        return _beside(folder, text.strip())
    text = long_form(text)
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
