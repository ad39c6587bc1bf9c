"""Checks of what a user's engine says of itself, and of what it tells while it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from weft.backends.engine import Engine
from weft.errors import UsageError
from weft.parts.faults import blaming, expect
from weft.types import Delta

_COUNTS = ("prompt_tokens", "cached_tokens", "reasoning_tokens")


def is_users(engine: Engine) -> bool:
    """Whether an engine is of a class that weft did not write."""
    return not type(engine).__module__.startswith("weft.")


def check_given(engines: Iterable[object], roles: object) -> None:
    """Check what a pool is given.

    Raises:
        UsageError: it is no engine and no spec of one, or no roles.
    """
    for engine in engines:
        if not isinstance(engine, Engine | str):
            listed = " (a list is given as Pool(*engines))" if isinstance(engine, list) else ""
            raise UsageError(
                f"a pool takes engines, or specs such as 'http://host:port', not {engine!r:.60}"
                f"{listed}"
            )
    if roles is not None and not isinstance(roles, Mapping):
        raise UsageError(f"roles={roles!r:.60} must be a dict of models: {{'verifier': 'small'}}")


def check_name(engine: Engine) -> None:
    """See that an engine has a name, before engines are told apart by theirs.

    Raises:
        PartFailed: it has none.
    """
    with blaming("engine", type(engine)):
        if not expect(engine.name, str, "its name"):
            raise ValueError("its name is empty")


def check_facts(engine: Engine) -> None:
    """See that what a connected engine says of itself can be scheduled by.

    Raises:
        PartFailed: it can't.
    """
    with blaming("engine", type(engine)):
        if not expect(engine.model, str, "its model"):
            raise ValueError("its model has no name")
        for name in ("concurrency", "block_size", "context", "kv_tokens"):
            value: object = getattr(engine, name)
            if value is None and name in ("context", "kv_tokens"):
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"its {name} must be a whole number of at least 1, not {value!r}")


def check_delta(delta: Any, before: int) -> None:
    """See that what an engine tells of an answer can be worked with.

    Args:
        delta: what it tells.
        before: how many tokens it has told of before.

    Raises:
        TypeError, ValueError: it can't.
    """
    if (
        delta.__class__ is Delta
        and type(delta.text) is str
        and delta.tokens.__class__ is tuple
        and type(delta.count) is int
        and delta.count >= 0
        and (delta.finish_reason is None or type(delta.finish_reason) is str)
        and delta.prompt_tokens is delta.cached_tokens is delta.reasoning_tokens is None
    ):
        return  # most are such
    expect(delta, Delta, "what on_delta is given")
    expect(delta.text, str, "text of a delta")
    expect(delta.tokens, tuple, "tokens of a delta")
    last = delta.finish_reason is not None
    least = -before if last else 0
    if expect(delta.count, int, "count of a delta") < least:
        raise ValueError(f"count of a delta must be at least {least}, not {delta.count}")
    if last:
        expect(delta.finish_reason, str, "finish_reason of a delta")
    for name in _COUNTS:
        value = getattr(delta, name)
        if value is not None and expect(value, int, f"{name} of a delta") < 0:
            raise ValueError(f"{name} of a delta must be at least 0, not {value}")
