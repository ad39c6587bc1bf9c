"""Suites: YAML files that say which strategies to run on which task, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from weft.errors import ConfigError, WeftError
from weft.evals.tasks.registry import parse_task
from weft.evals.tasks.task import Task
from weft.orchestrator.policy_file import load_policy
from weft.programs import Limits
from weft.search.strategy import Strategy, parse_strategy

Place = tuple[str | int, ...]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_listed)]


class Budget(BaseModel):
    """What one strategy may spend on one sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int | None = Field(default=None, gt=0)
    """Prompt and generated tokens."""
    calls: int | None = Field(default=None, gt=0)
    """Calls that reach an engine."""
    seconds: float | None = Field(default=None, gt=0)
    """Wall time."""
    dollars: float | None = Field(default=None, gt=0)
    """Cost; only for engines with prices."""

    def limits(self) -> Limits | None:
        """As a run takes it; None if nothing is limited."""
        given = self.model_dump(exclude_none=True)
        return Limits(**given) if given else None


class Suite(BaseModel):
    """What an evaluation runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    """Spec of the task, such as `countdown` or `jsonl(path=mine.jsonl)`."""
    strategies: Annotated[Texts, Field(min_length=1)]
    """Specs of the strategies, run one after the other."""
    limit: int | None = Field(default=None, ge=1)
    """How many problems; None is all of the task's."""
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
    policy: str = "weft"
    """The scheduler's: a spec, or a file that `weft tune` wrote."""
    budget: Budget = Budget()
    """For each strategy on each sample."""
    concurrency: int = Field(default=128, ge=1, le=4096)
    """Most samples under way at once."""

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
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
        raise ConfigError(f"can't read suite {path}: {reason}") from None
    raw, lines = _parse(path, text)
    try:
        suite = Suite.model_validate(raw)
    except ValidationError as e:
        error = e.errors()[0]
        place = tuple(
            p for p in error["loc"] if isinstance(p, int) or not p.startswith("function-")
        )
        raise ConfigError(f"{_where(path, lines, place)}: {_reason(error)}") from None
    _check(path, lines, ("task",), parse_task, suite.task)
    _check(path, lines, ("policy",), load_policy, suite.policy)
    for i, spec in enumerate(suite.strategies):
        _check(path, lines, ("strategies", i), parse_strategy, spec)
    return suite


def _check(path: Path, lines: dict[Place, int], place: Place, parse: Any, spec: str) -> None:
    try:
        parse(spec)
    except WeftError as e:
        raise ConfigError(f"{_where(path, lines, place)}: {e}") from None


def _reason(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        known = Budget.model_fields if error["loc"][0] == "budget" else Suite.model_fields
        return f"there is no such field; the fields are {', '.join(known)}"
    if error["type"] == "missing":
        return "the field is missing"
    message: str = error["msg"]
    return message[0].lower() + message[1:]


def _where(path: Path, lines: dict[Place, int], place: Place) -> str:
    name = ".".join(str(p) for p in place) or "the file"
    while place and place not in lines:
        place = place[:-1]
    return f"{path}:{lines.get(place, 1)}: {name}"


def _parse(path: Path, text: str) -> tuple[object, dict[Place, int]]:
    """The data of a YAML text, and the line of each place in it."""
    lines: dict[Place, int] = {}

    def visit(node: yaml.Node, place: Place) -> None:
        lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
                name = str(key.value)
                lines[*place, name] = key.start_mark.line + 1
                if name in seen:
                    raise ConfigError(f"{_where(path, lines, (*place, name))}: is there twice")
                seen.add(name)
                visit(value, (*place, name))
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(cast("list[yaml.Node]", node.value)):
                visit(value, (*place, i))

    try:
        node: object = cast(Any, yaml).compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}:1: the file must have fields, such as `task: countdown`")
        visit(node, ())
        return yaml.safe_load(text), lines
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        at = mark.line + 1 if mark else 1
        raise ConfigError(f"{path}:{at}: not valid YAML: {e.problem or e.context}") from None
    except yaml.YAMLError as e:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(e).split())}") from None
