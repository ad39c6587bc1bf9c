"""Parameters of strategies that write their answers in segments."""

from __future__ import annotations

from typing import Any

from weft.parts.parameters import param


def every_param(default: int) -> Any:
    """The parameter that says how long a segment is."""
    return param(default, "tokens of a segment", least=1)


def depth_param(default: int) -> Any:
    """The parameter that says how many segments an answer has."""
    return param(default, "segments of an answer; the last one goes on to its end", least=1)
