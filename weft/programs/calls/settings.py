"""Settings of sampling that few calls need: what their values may be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from weft.errors import UnknownName, UsageError


def check_more(more: Mapping[str, Any]) -> None:
    """Check the settings that few calls need.

    Raises:
        UsageError: one is unknown, of the wrong kind or out of range.
    """
    for name, value in more.items():
        if name not in _MORE:
            raise UnknownName("setting", name, _MORE)
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
