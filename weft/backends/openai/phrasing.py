"""Phrasing: a request, said as an endpoint takes it by all that is known of the endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from weft.backends.http.folded_turns import folded
from weft.backends.openai.schemas import FORMS, TOLD, digest, formatted

NEUTRAL: Mapping[str, Any] = MappingProxyType(
    {
        "temperature": 1,
        "top_p": 1,
        "top_k": -1,
        "min_p": 0,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "repetition_penalty": 1,
    }
)
"""Values that ask for nothing."""

_OTHERWISE = ("max_tokens", "response_format", "stream", "stream_options", "chat_template_kwargs")
"""What is held to, done without, or named as missing otherwise, where it can't be sent."""

_WITH = {"stream_options": "stream", "top_logprobs": "logprobs"}
"""Fields that can't be asked for without another."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Values of `reasoning_effort` in their order."""


@dataclass(frozen=True)
class Facts:
    """What is known of an endpoint.

    Attributes:
        omit: parameters that it refuses.
        rename: what it calls parameters.
        most: largest values that it allows.
        least: smallest values that it allows.
        efforts: values of `reasoning_effort` that it knows.
        form: how a schema is given: a place in `FORMS`.
        loose: digests of schemas that it takes only where it need not hold to them.
        one_of: whether it takes either a temperature or a top_p.
        folded: whether system turns go into the user's first.
        tools: what becomes of tools: nothing special; `text`, where the endpoint takes them only
            without reading calls out of the text; or `none`, where it takes no tools.
    """

    omit: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    most: Mapping[str, float] = field(default_factory=dict[str, float])
    least: Mapping[str, float] = field(default_factory=dict[str, float])
    efforts: tuple[str, ...] = ()
    form: int = 0
    loose: frozenset[str] = frozenset()
    one_of: bool = False
    folded: bool = False
    tools: str = ""


@dataclass(frozen=True)
class Phrased:
    """A request as an endpoint takes it.

    Attributes:
        fields: of the body.
        missing: what was asked for and could not be said.
        limited: whether the endpoint itself holds to `max_tokens`.
        facts: by which it was made.
        schema: digest of the schema, if there is one.
    """

    fields: dict[str, Any]
    missing: tuple[str, ...]
    limited: bool
    facts: Facts
    schema: str = ""


def phrased(facts: Facts, fields: Mapping[str, Any], schema: dict[str, Any] | None) -> Phrased:
    """A request as an endpoint takes it.

    Args:
        facts: what is known of the endpoint.
        fields: of the body, in OpenAI's words, `max_tokens` for the limit.
        schema: that the answer must follow.
    """
    said = dict(fields)
    missing: list[str] = []
    of_schema = digest(schema) if schema is not None else ""
    if schema is not None:
        form = facts.form if facts.form != 1 or of_schema not in facts.loose else 2
        form = TOLD if "response_format" in facts.omit else form
        said |= formatted(schema, form, said["messages"])
        missing += [] if FORMS[form].held else ["schema"]
    if facts.tools == "text" and "tools" in said:
        said["tool_choice"] = "none"  # the template still writes the tools
    if facts.folded:
        said["messages"] = folded(said["messages"], "system")
    if facts.one_of and "temperature" in said and "top_p" in said:
        less = "temperature" if said["top_p"] != 1 and said["temperature"] == 1 else "top_p"
        missing += [less] if said[less] != 1 else []
        del said[less]
    for name in sorted(facts.omit & said.keys()):
        if name not in _OTHERWISE and (name not in NEUTRAL or said[name] != NEUTRAL[name]):
            missing.append(name)
        elif name == "chat_template_kwargs":
            missing += [key for key in ("thinking", "reasoning_effort") if key in said[name]]
        del said[name]
    said = {name: value for name, value in said.items() if _WITH.get(name, name) in said}
    for name, most in facts.most.items():
        if name in said and said[name] > most:
            said[name] = type(said[name])(most)
            missing += [name] if name not in _OTHERWISE else []
    for name, least in facts.least.items():
        if name in said and said[name] < least:
            said[name] = int(least) if least == int(least) else least
    if facts.efforts and said.get("reasoning_effort") not in (None, *facts.efforts):
        said["reasoning_effort"] = nearest(said["reasoning_effort"], facts.efforts)
        missing.append("reasoning_effort")
    limited = "max_tokens" in said and "max_tokens" not in facts.least
    for name, other in facts.rename.items():
        if name in said:
            said[other] = said.pop(name)
    return Phrased(said, tuple(dict.fromkeys(missing)), limited, facts, of_schema)


def nearest(effort: str, known: tuple[str, ...]) -> str:
    """The known effort that is nearest to another; of two the smaller."""
    if effort not in EFFORTS:
        return known[0]
    at = EFFORTS.index(effort)
    return min(known, key=lambda one: abs(EFFORTS.index(one) - at))
