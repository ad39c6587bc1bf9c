"""Settings of sampling: as text, and what the values of those may be that few calls need."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from weft.errors import UnknownName, UsageError
from weft.types import MoreSampling, Sampling

_FIRST = ("max_tokens", "temperature", "top_p", "stop", "seed", "logprobs", "schema")
_LATER = {f.name: f.default for f in fields(Sampling) if f.name not in _FIRST}
"""Settings that texts hold only where they are not left alone."""
_json = json.JSONEncoder(sort_keys=True, default=str).encode
_texts: dict[int, tuple[Sampling, str]] = {}
"""Of the settings used last, by the identity of the object: 1 and 1.0 are other texts."""


class CallSettings(MoreSampling, total=False):
    """What `generate` takes as keywords, whatever it gives; its docstring says what each is."""

    max_tokens: int | None
    temperature: float
    top_p: float
    stop: str | Sequence[str]
    seed: int | None
    logprobs: int | None
    role: str


@lru_cache(maxsize=256, typed=True)
def usual_settings(
    max_tokens: int | None,
    temperature: float,
    top_p: float,
    stop: tuple[str, ...],
    seed: int | None,
    logprobs: int | None,
) -> Sampling:
    """The Sampling of settings that most calls have: the same object for the same values.

    Raises:
        UsageError: one is of the wrong kind or out of range.
        TypeError: one has no hash.
    """
    sampling = Sampling(max_tokens, temperature, top_p, stop, seed, logprobs)
    check_usual(sampling)
    return sampling


def settings_text(sampling: Sampling) -> str:
    """Settings as JSON, as they stand in the keys of stored results."""
    known = _texts.get(id(sampling))
    if known is not None and known[0] is sampling:
        return known[1]
    how = {name: getattr(sampling, name) for name in _FIRST}
    for name, default in _LATER.items():
        if (value := getattr(sampling, name)) != default:
            how[name] = value  # results stored before there was this setting keep their keys
    text = _json(how)
    if len(_texts) >= 256:
        _texts.clear()
    _texts[id(sampling)] = sampling, text
    return text


def check_usual(sampling: Sampling) -> None:
    """Check the settings that most calls have.

    Raises:
        UsageError: one is of the wrong kind or out of range.
    """
    check_whole("max_tokens", sampling.max_tokens, 1)
    check_whole("logprobs", sampling.logprobs)
    check_whole("seed", sampling.seed)
    for name in ("temperature", "top_p"):
        number = getattr(sampling, name)
        if not isinstance(number, (float, int)) or not math.isfinite(number):
            raise UsageError(f"{name}={number!r} must be a number")
    if sampling.temperature < 0:
        raise UsageError(f"temperature={sampling.temperature} must not be negative")
    if not 0 < sampling.top_p <= 1:
        raise UsageError(f"top_p={sampling.top_p} must be above 0 and at most 1")
    if "" in sampling.stop:
        raise UsageError("stop must not contain an empty string")
    if sampling.logprobs is not None and not 0 <= sampling.logprobs <= 20:
        raise UsageError(f"logprobs={sampling.logprobs} must be from 0 to 20")


def check_whole(name: str, value: int | None, least: int | None = None) -> None:
    """Check a whole number that may be left out.

    Raises:
        UsageError: it is none, or too small.
    """
    if value is None:
        return
    if type(value) is not int:
        raise UsageError(f"{name}={value!r} must be a whole number")
    if least is not None and value < least:
        raise UsageError(f"{name}={value} must be at least {least}")


def check_more(more: Mapping[str, Any]) -> None:
    """Check the settings that few calls need.

    Raises:
        UsageError: one is unknown, of the wrong kind or out of range.
    """
    for name, value in more.items():
        if name not in _MORE:
            raise UnknownName("setting", name, {*_MORE, *CallSettings.__annotations__})
        kinds, least, most = _MORE[name]
        if value is None:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            kind = _KINDS[kinds[-1]]
            raise UsageError(f"{name}={value!r} must be {kind}")
        if least is not None and (value < least or (most is not None and value > most)):
            limits = f"from {least:g} to {most:g}" if most is not None else f"at least {least:g}"
            raise UsageError(f"{name}={value!r} must be {limits}")
    try:
        json.dumps(more.get("extra"))
    except (TypeError, ValueError):
        raise UsageError("extra must hold plain data, as JSON has it") from None


_KINDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "a name",
    bool: "true or false",
    dict: "a dict of fields",
}
_MORE: dict[str, tuple[tuple[type, ...], float | None, float | None]] = {
    "top_k": ((int,), -1, None),
    "min_p": ((int, float), 0, 1),
    "presence_penalty": ((int, float), -2, 2),
    "frequency_penalty": ((int, float), -2, 2),
    "repetition_penalty": ((int, float), 0, None),
    "reasoning_effort": ((str,), None, None),
    "thinking": ((bool,), None, None),
    "extra": ((dict,), None, None),
}
"""What each setting may be: kinds, smallest and largest value."""
