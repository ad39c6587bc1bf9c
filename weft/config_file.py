"""Configuration files: YAML read into pydantic models, with errors that name line and field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError

from weft.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
Place = tuple[str | int, ...]
"""Where a value stands: the keys and positions that lead to it."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a configuration file says, before it is checked.

    Attributes:
        path: the file; None if there is none, and all is said by options.
        data: its fields.
        lines: the line of each place in it.
        options: places whose value comes from the command line, with the option's name.
    """

    path: Path | None
    data: Mapping[str, Any]
    lines: Mapping[Place, int]
    options: Mapping[Place, str] = field(default_factory=dict[Place, str])

    def check(self, model: type[M]) -> M:
        """The file as a model.

        Raises:
            ConfigError: naming the line and the field that is wrong.
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as e:
            error: Any = e.errors(include_url=False, include_input=False)[0]
            place = self._place(error["loc"], missing=error["type"] == "missing")
            raise self.error(place, _reason(error, model, place)) from None

    def error(self, place: Place, reason: str) -> ConfigError:
        """An error that says where it is."""
        return ConfigError(f"{self.where(place)}: {reason}")

    def where(self, place: Place) -> str:
        """A place for people: `file:line: field`, or the option that it comes from."""
        for i in range(len(place), 0, -1):
            if place[:i] in self.options:
                return self.options[place[:i]]
        name = ".".join(map(str, place)) or "the file"
        if self.path is None:
            return name
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.path}:{self.lines.get(place, 1)}: {name}"

    def _place(self, loc: Place, *, missing: bool) -> Place:
        """Pydantic's place without its own marks, such as the arms of a union."""
        value: Any = self.data
        found: Place = ()
        for part in loc:
            if isinstance(value, Mapping) and part in value:
                value = cast("Mapping[Any, Any]", value)[part]
            elif isinstance(value, list) and isinstance(part, int):
                value = cast("list[Any]", value)[part]
            elif not (missing and part == loc[-1]):
                continue
            found = (*found, part)
        return found


def read(path: Path, kind: str, example: str) -> ConfigFile:
    """Read a file; its fields are not checked yet.

    Args:
        path: the file.
        kind: what it is, for messages.
        example: a field that such files have, for messages.

    Raises:
        ConfigError: it can't be read, is not YAML, or holds a field twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
        raise ConfigError(f"can't read {kind} {path}: {reason}") from None
    lines: dict[Place, int] = {}
    try:
        node: object = cast(Any, yaml).compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}:1: the file must have fields, such as `{example}`")
        if twice := _note(node, (), lines):
            name = ".".join(map(str, twice))
            raise ConfigError(f"{path}:{lines[twice]}: {name}: is there twice")
        return ConfigFile(path, yaml.safe_load(text), lines)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        at = mark.line + 1 if mark else 1
        raise ConfigError(f"{path}:{at}: not valid YAML: {e.problem or e.context}") from None
    except yaml.YAMLError as e:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(e).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply, or refers to itself") from None


def _note(node: yaml.Node, place: Place, lines: dict[Place, int]) -> Place | None:
    """Note the lines of all places; returns the first field that is there twice."""
    lines.setdefault(place, node.start_mark.line + 1)
    children: list[tuple[Place, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            name = str(key.value)
            lines[*place, name] = key.start_mark.line + 1
            if name in seen:
                return (*place, name)
            seen.add(name)
            children.append(((*place, name), value))
    elif isinstance(node, yaml.SequenceNode):
        values = cast("list[yaml.Node]", node.value)
        children = [((*place, i), value) for i, value in enumerate(values)]
    for inner, child in children:
        if twice := _note(child, inner, lines):
            return twice
    return None


def _reason(error: Any, model: type[BaseModel], place: Place) -> str:
    if error["type"] == "extra_forbidden":
        fields = _fields(_model_at(model, place[:-1]))
        return f"there is no such field; the fields are {', '.join(fields)}"
    if error["type"] == "missing":
        return "the field is missing"
    if error["type"] in ("model_type", "model_attributes_type"):
        fields = _fields(_model_at(model, place))
        return f"must have fields, some of {', '.join(fields)}"
    message: str = error["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _fields(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], place: Place) -> type[BaseModel]:
    """The model that describes a place within another's data."""
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _inner(model.model_fields[part].annotation) or model
    return model


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for a in get_args(annotation) if (found := _inner(a))), None)
