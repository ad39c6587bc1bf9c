"""How an endpoint is told the schema of an answer: held to it, or asked in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True)
class Form:
    """A way to give a schema.

    Attributes:
        done: what weft does in it, for a warning.
        held: whether the endpoint holds the answer to the schema.
    """

    done: str
    held: bool = True


FORMS = (
    Form("sends the schema as it is"),
    Form("forbids further properties and requires all"),
    Form("asks for the schema without holding the model strictly to it", held=False),
    Form("asks for a JSON object, and tells the schema in words", held=False),
    Form("tells the schema in words alone", held=False),
)
"""The ways, the one that holds the answer best first."""

TOLD = 4
"""The last of them, which needs nothing of the endpoint."""


def formatted(schema: dict[str, Any], form: int, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of a body that give a schema.

    Args:
        schema: the answer's.
        form: a place in `FORMS`.
        messages: of the conversation.
    """
    if schema == {"type": "object"} and form != TOLD:
        return {"response_format": {"type": "json_object"}}
    if form > 2:
        fields: dict[str, Any] = {"messages": with_instruction(schema, messages)}
        return fields if form == TOLD else fields | {"response_format": {"type": "json_object"}}
    given: dict[str, Any] = {"name": "answer", "schema": schema}
    if form < 2:
        given |= {"strict": True}
    if form == 1:
        given |= {"schema": strict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": given}}


def with_instruction(
    schema: dict[str, Any], messages: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The conversation with the schema in its system turn."""
    words = (
        "Answer with JSON alone, an instance of this JSON schema, without any text around it:\n"
        + json.dumps(schema, ensure_ascii=False)
    )
    if messages[0]["role"] == "system":
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{words}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": words}, *messages]


def strict(schema: Any) -> Any:
    """A narrower schema in which every object has all its properties and no others.

    Whatever follows it follows the given one too. An object that is a map, whose properties
    have no names, stays as it is.
    """
    if isinstance(schema, list):
        return [strict(one) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    given = cast("dict[str, Any]", schema)
    made: dict[str, Any] = {}
    for key, value in given.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            named = cast("dict[str, Any]", value)
            made[key] = {name: strict(one) for name, one in named.items()}
        elif key in ("default", "enum", "const", "examples"):
            made[key] = value
        else:
            made[key] = strict(value)
    if given.get("properties"):
        made |= {"additionalProperties": False, "required": list(given["properties"])}
    return made


def digest(schema: dict[str, Any]) -> str:
    """What a schema is known by."""
    return json.dumps(schema, sort_keys=True)
