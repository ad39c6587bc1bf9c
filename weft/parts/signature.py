"""The parameters of a plain class or function: those of its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from weft.parts.parameters import Parameter, Parametric


def parameters(part: Callable[..., Any]) -> tuple[Parameter, ...]:
    """What a spec may give a class or function; from its fields, or else from its signature.

    A signature's types are checked, as far as they are plain ones: `int`, `float`, `bool`,
    `str`, `Path`, `Literal`, each perhaps with `None`. What they mean is taken from the
    `Args:` of the docstring, or of those of a class's bases.
    """
    if isinstance(part, type) and issubclass(part, Parametric):
        return part.parameters()
    if isinstance(part, type) and part.__init__ is object.__init__:
        return ()
    kinds = _kinds(part)
    docs = _documented(part)
    found: list[Parameter] = []
    for p in _signed(part):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY):
            continue
        required = p.default is p.empty
        kind, choices = _plain(kinds.get(p.name, object))
        default = None if required else p.default
        doc = docs.get(p.name, "")
        found.append(Parameter(p.name, default, doc, choices=choices, kind=kind, required=required))
    return tuple(found)


def _signed(part: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a signature; where a class takes `**more`, those of its base, too."""
    found = list(inspect.signature(part).parameters.values())
    if isinstance(part, type) and any(p.kind is p.VAR_KEYWORD for p in found):
        base = part.__mro__[part.__mro__.index(_definer(part)) + 1]
        known = {p.name for p in found}
        found += [p for p in _signed(base) if p.name not in known] if base is not object else []
    return found


def _definer(part: type[Any]) -> type[Any]:
    """The class of a class's `__init__`."""
    return next(one for one in part.__mro__ if "__init__" in vars(one))


def converted(part: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """The values as a plain class or function takes them: paths as `Path`."""
    kinds = _kinds(part)
    return {
        name: Path(value).expanduser()
        if isinstance(value, str) and _without_none(kinds.get(name, object)) is Path
        else value
        for name, value in values.items()
    }


def path_parameters(part: Callable[..., Any]) -> set[str]:
    """The parameters of a plain class or function that are paths."""
    return {name for name, kind in _kinds(part).items() if _without_none(kind) is Path}


def _kinds(part: Callable[..., Any]) -> dict[str, Any]:
    try:
        if not isinstance(part, type):
            return get_type_hints(part)
        found: dict[str, Any] = {}
        for one in reversed(part.__mro__[:-1]):
            if "__init__" in vars(one):
                found |= get_type_hints(one.__init__)
        return found
    except Exception:  # names that only type checkers know
        return {}


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        others = [a for a in get_args(kind) if a is not NoneType]
        return others[0] if len(others) == 1 else object
    return kind


def _plain(kind: Any) -> tuple[type[Any], tuple[str, ...]]:
    """The type that values must have, and the only values allowed if they are named."""
    kind = _without_none(kind)
    if get_origin(kind) is Literal:
        return str, tuple(map(str, get_args(kind)))
    if kind is Path:
        return str, ()
    return (kind, ()) if kind in (int, float, bool, str) else (object, ())


def _documented(part: Callable[..., Any]) -> dict[str, str]:
    """What docstrings say of arguments; of a class those of its bases, too."""
    parts = reversed(part.__mro__) if isinstance(part, type) else (part,)
    found: dict[str, str] = {}
    for one in parts:
        if one is not object:
            found |= _docs(inspect.cleandoc(one.__doc__ or ""))
    return found


def _docs(text: str) -> dict[str, str]:
    """The arguments of a docstring in Google's style."""
    _, _, listed = text.partition("\nArgs:")
    found: dict[str, str] = {}
    name = ""
    for line in listed.splitlines():
        if line and not line.startswith(" "):
            break
        head, colon, rest = line.strip().partition(": ")
        if colon and line.startswith("    ") and not line.startswith("     "):
            name = head
            found[name] = rest
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
