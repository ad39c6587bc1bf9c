"""What was read from a file, made a dataclass only if each field is of its kind."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def made(kind: type[T], raw: Any, loose: Collection[str] = ()) -> T:
    """An object of a dataclass, from JSON.

    Args:
        kind: the dataclass.
        raw: its fields.
        loose: fields that are not looked at.

    Raises:
        ValueError: there are other fields, or one is of another kind.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"{raw!r:.40} in place of fields")
    given, kinds = cast("dict[str, Any]", raw), _kinds(kind)
    for name, value in given.items():
        if not isinstance(value, kinds.get(name, object)) and name not in loose:
            raise ValueError(f"{name} is {value!r:.40}")
    for name, inner in _inner(kind):
        for value in given.get(name, {}).values():
            if not isinstance(value, inner):
                raise ValueError(f"{name} has {value!r:.40}")
    try:
        return kind(**given)
    except TypeError as e:
        raise ValueError(str(e).partition(" ")[2]) from None


@lru_cache
def _kinds(kind: type) -> dict[str, tuple[type, ...]]:
    """Of what classes each field may be."""
    return {name: _classes(hint) for name, hint in get_type_hints(kind).items()}


@lru_cache
def _inner(kind: type) -> list[tuple[str, tuple[type, ...]]]:
    """Of what classes the values of fields are that are dicts."""
    hints = get_type_hints(kind).items()
    return [
        (name, classes)
        for name, hint in hints
        if get_origin(hint) is dict and (classes := _classes(get_args(hint)[1])) != (object,)
    ]


def _classes(hint: Any) -> tuple[type, ...]:
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    found = tuple(object if p is Any else get_origin(p) or p for p in parts)
    return (*found, int) if float in found else found
