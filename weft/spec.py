"""Specs: strategies and policies as text, `best_of_n(n=16, verifier=model)`, or as YAML.

The same text is read in Python, in configuration files and on the command line:

    spec  = name [ "(" [ param { "," param } ] ")" ]
    param = name "=" value
    value = number | true | false | name | quoted string | spec with parentheses

Names within values may hold `. : / -` after their first letter: `role:judge`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from weft.errors import UnknownName, UsageError
from weft.parameters import Parametric

P = TypeVar("P", bound=Parametric)


@dataclass(frozen=True)
class Spec:
    """A name with parameters, as written; not yet known to mean anything."""

    name: str
    values: Mapping[str, Any]


def read_spec(text: str, kind: str = "strategy") -> Spec:
    """A spec's text as data.

    Args:
        text: what was written.
        kind: what is named, for messages.

    Raises:
        UsageError: it is malformed; the message names the position.
    """
    return _Reader(text, kind).whole()


def build(
    spec: str | Mapping[str, Any], kind: str, base: type[P], known: Mapping[str, type[P]]
) -> P:
    """What a spec describes, out of the classes that are known by name.

    Args:
        spec: a text, or the same as YAML reads it: `{majority: {n: 8}}`.
        kind: what is named, for messages.
        base: the class of it; parameters of this kind are specs themselves.
        known: the classes by name.

    Raises:
        UnknownName: there is none of that name, or no such parameter.
        UsageError: the text is malformed, or a value is not allowed.
    """
    read = read_spec(spec, kind) if isinstance(spec, str) else _from_mapping(spec, kind)
    return _build(read, kind, base, known)


def _build(spec: Spec, kind: str, base: type[P], known: Mapping[str, type[P]]) -> P:
    if spec.name not in known:
        raise UnknownName(kind, spec.name, known)
    cls = known[spec.name]
    parameters = {p.name: p for p in cls.parameters()}
    values: dict[str, Any] = {}
    for name, value in spec.values.items():
        if name not in parameters:
            if not parameters:
                raise UsageError(f"{spec.name} has no parameters; leave out {name}")
            raise UnknownName(f"parameter of {spec.name}", name, parameters)
        if parameters[name].kind is base:
            if not isinstance(value, base | Spec):
                value = build(value, kind, base, known)
            elif isinstance(value, Spec):
                value = _build(value, kind, base, known)
        elif isinstance(value, Spec):
            raise UsageError(f"{name} of {spec.name} takes a plain value, not {value.name}(...)")
        values[name] = value
    return cls(**values)


def _from_mapping(spec: Any, kind: str) -> Spec:
    if not isinstance(spec, Mapping) or len(spec) != 1:  # pyright: ignore[reportUnknownArgumentType]
        raise UsageError(
            f"{spec!r} is not a {kind}; write a name, or a name with its parameters such as "
            "{name: {parameter: 8}}"
        )
    ((name, values),) = spec.items()  # pyright: ignore[reportUnknownVariableType]
    if values is None:
        values = {}
    if not isinstance(name, str) or not isinstance(values, Mapping):
        raise UsageError(f"the parameters of {name} must be given as name: value")
    return Spec(name, {str(k): v for k, v in values.items()})  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_WORD = re.compile(r"[A-Za-z_][\w.:/-]*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(?![\w.])")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False}


class _Reader:
    """Reads a spec from left to right."""

    def __init__(self, text: str, kind: str) -> None:
        self._text, self._kind, self._at = text, kind, 0

    def whole(self) -> Spec:
        spec = self._spec()
        self._skip()
        if self._at < len(self._text):
            self._fail("nothing more")
        return spec

    def _spec(self) -> Spec:
        name = self._take(_NAME, f"the name of a {self._kind}")
        return Spec(name, self._values() if self._eat("(") else {})

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not self._eat(")"):
            if values and not self._eat(","):
                self._fail("a comma or a closing parenthesis")
            if values and self._eat(")"):  # a comma may end the list
                break
            at = self._at
            name = self._take(_NAME, "the name of a parameter")
            if name in values:
                self._at = at
                self._fail(f"each parameter once, but {name} is there twice")
            if not self._eat("="):
                self._fail(f"= after {name}")
            values[name] = self._value()
        return values

    def _value(self) -> Any:
        self._skip()
        if match := _QUOTED.match(self._text, self._at):
            self._at = match.end()
            return match[1] if match[1] is not None else match[2]
        if match := _NUMBER.match(self._text, self._at):
            self._at = match.end()
            return int(match[0]) if re.fullmatch(r"[+-]?\d+", match[0]) else float(match[0])
        word = self._take(_WORD, "a value")
        if self._eat("("):
            return Spec(word, self._values())
        return _CONSTANTS.get(word, word)

    def _skip(self) -> None:
        if match := _SPACE.match(self._text, self._at):
            self._at = match.end()

    def _eat(self, mark: str) -> bool:
        self._skip()
        if found := self._text.startswith(mark, self._at):
            self._at += len(mark)
        return found

    def _take(self, pattern: re.Pattern[str], what: str) -> str:
        self._skip()
        if (match := pattern.match(self._text, self._at)) is None:
            self._fail(what)
        self._at = match.end()
        return match[0]

    def _fail(self, expected: str) -> NoReturn:
        rest = self._text[self._at : self._at + 20]
        found = repr(rest) if rest else "the end"
        raise UsageError(
            f"{self._kind} {self._text!r}: expected {expected} at position {self._at + 1}, found "
            f"{found}; write name(parameter=value, ...)"
        )
