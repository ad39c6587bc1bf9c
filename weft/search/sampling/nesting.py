"""Strategies whose samples are the answers of another strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.errors import UsageError
from weft.parts.parameters import param
from weft.search.strategy import Strategy

_NESTS = (dict, list, tuple)


def of_param() -> Any:
    """The parameter that names the strategy whose answers are the samples."""
    doc = "whose answers are the samples, such as astar(k=4); the model's own if none is given"
    return param(None, doc, kind=Strategy)


def check_hedge(hedge: bool, of: Strategy | None) -> None:
    """Raise where a greedy sample is wanted of a strategy that decides on temperatures itself.

    Raises:
        UsageError: it is.
    """
    if hedge and of is not None:
        raise UsageError(
            f"hedge=true makes the first sample greedy, but {of.name} in `of` decides on "
            "temperatures itself; leave one of them out"
        )


def texts_of(n: int, of: Strategy | None) -> int | None:
    """Among how many whole texts n samples choose; None if they come about in other ways."""
    each = 1 if of is None else of.texts
    return None if each is None else n * each


def note_within(details: dict[str, Any], within: Sequence[Mapping[str, Any]]) -> None:
    """Say what the strategies did whose answers are the samples.

    `within` lists, sample by sample, each of their details that is one number, text or flag.
    What ran out or failed there, did so here.
    """
    keys = dict.fromkeys(k for one in within for k, v in one.items() if not isinstance(v, _NESTS))
    if keys:
        details["within"] = {key: [one.get(key) for one in within] for key in keys}
    for one in within:
        if "budget" in one:
            details.setdefault("budget", one["budget"])
        if "failed" in one:
            details["failed"] = details.get("failed", 0) + one["failed"]
