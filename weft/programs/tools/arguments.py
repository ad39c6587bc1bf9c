"""Arguments of a tool: their schema, and what a model wrote, checked against it."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from weft.errors import UsageError
from weft.programs.durable.once import KEYED


class WrongArguments(ValueError):
    """What a model wrote are no arguments of the tool; the message is for the model."""


class _Plain(GenerateJsonSchema):
    """Schemas without the titles that repeat names, and without defaults that JSON lacks."""

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Say nothing: a default that JSON lacks stays the function's own."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class Arguments:
    """The arguments of a function, as a model writes them.

    Args:
        model: has a field for each, whose alias is the argument's name.

    Attributes:
        schema: the JSON schema.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model
        self._names = {name: one.alias or name for name, one in model.model_fields.items()}
        self.schema = model.model_json_schema(schema_generator=_Plain)
        self.schema.pop("title", None)

    def read(self, text: str) -> dict[str, Any]:
        """Arguments by name, of the signature's types; those that are not given are left out.

        Raises:
            WrongArguments: the text is no JSON object, or one that does not fit.
        """
        try:
            read = self._model.model_validate_json(json.dumps(as_object(text)))
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise WrongArguments("; ".join(wrong)) from None
        given = read.model_fields_set
        return {alias: getattr(read, name) for name, alias in self._names.items() if name in given}


def as_object(text: str) -> dict[str, Any]:
    """A JSON object in a text; no text, or null, is an empty one.

    Raises:
        WrongArguments: it is something else.
    """
    value: Any = text
    for _ in range(2):  # some models write the JSON as a JSON string
        if isinstance(value, str):
            try:
                value = json.loads(value, strict=False) if value.strip() else {}
            except (ValueError, RecursionError) as error:
                raise WrongArguments(f"they are no JSON: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WrongArguments("they must be a JSON object, by the arguments' names")
    return cast("dict[str, Any]", value)


def arguments_of(function: Callable[..., Any], name: str, about: Mapping[str, str]) -> Arguments:
    """The arguments of a function.

    Args:
        function: whose signature tells.
        name: of the tool, for messages.
        about: what each argument is.

    Raises:
        UsageError: an argument can't be written as JSON.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
        hints = typing.get_type_hints(_annotated(function), include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        raise UsageError(f"tool {name}: its signature can't be read: {error}") from None
    if parameters and parameters[0].name in ("self", "cls") and _in_class(function):
        del parameters[0]
    if getattr(function, KEYED, False):
        parameters = [one for one in parameters if one.name != "key"]
    fields: dict[str, Any] = {}
    for at, one in enumerate(parameters):
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise UsageError(
                f"tool {name}: {one} can't be given by name, as models give arguments; "
                "name each argument"
            )
        annotation = hints.get(one.name, Any)
        told = _description(annotation) or about.get(one.name)
        default = ... if one.default is one.empty else one.default
        made = Field(default=default, alias=one.name, description=told)
        fields[f"p{at}"] = (annotation, made)
        _check(name, one.name, annotation)
    make = cast(Any, create_model)
    return Arguments(make(name, __config__=ConfigDict(extra="forbid"), **fields))


def _check(tool: str, name: str, annotation: Any) -> None:
    make = cast(Any, create_model)
    try:
        make(tool, p=(annotation, ...)).model_json_schema(schema_generator=_Plain)
    except PydanticUserError as error:
        first = str(error).splitlines()[0]
        raise UsageError(f"tool {tool}: argument {name} has no JSON schema: {first}") from None


def _description(annotation: Any) -> str | None:
    """What `Annotated[..., Field(description=...)]` says."""
    found = [one.description for one in _metadata(annotation) if isinstance(one, FieldInfo)]
    return next(filter(None, found), None)


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())


def _annotated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where annotations stand: those of an object are its call's."""
    if inspect.isfunction(function) or inspect.ismethod(function):
        return inspect.unwrap(function)
    return type(function).__call__


def _in_class(function: Callable[..., Any]) -> bool:
    """Whether a function was written in a class, so that it is a method."""
    outer = getattr(function, "__qualname__", "").rpartition(".")[0]
    return bool(outer) and not outer.endswith("<locals>") and not inspect.ismethod(function)
