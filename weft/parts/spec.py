"""Specs: strategies, policies, tasks ... as text, `best_of_n(n=16, verifier=model)`, or as YAML.

The same text is read in Python, in configuration files and on the command line:

    spec  = name [ "(" [ param { "," param } ] ")" ]
    name  = a registered name | FILE.py:NAME | module:NAME
    param = parameter "=" value
    value = quoted string | spec with parentheses | anything without commas and parentheses

What a value means depends on its parameter: `007` is a number for one that takes numbers, and
stays as written for one that takes texts. In quotes, commas and parentheses stand for
themselves; a quote within quotes is written twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

from weft.errors import UsageError
from weft.parts.importing import absolute, reference


@dataclass(frozen=True)
class Spec:
    """A name with parameters, as written; not yet known to mean anything.

    Attributes:
        name: a registered name, `FILE.py:NAME` or `module:NAME`.
        values: by parameter; what looks like a number, true or false is one.
        texts: the same values as they were written, where they were written without quotes.
    """

    name: str
    values: Mapping[str, Any]
    texts: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)

    def renamed(self, name: Callable[[str], str]) -> str:
        """The spec as text again, with another name here and in the specs within."""
        parts = [f"{key}={self._text(key, name)}" for key in self.values]
        written = name(self.name)
        return f"{written}({', '.join(parts)})" if parts else written

    def _text(self, key: str, name: Callable[[str], str]) -> str:
        value = self.values[key]
        if isinstance(value, Spec):
            return value.renamed(name)
        text = self.texts.get(key)
        if text is not None:
            return name(text)
        if isinstance(value, str):
            return quoted(name(value))
        return str(value).lower() if isinstance(value, bool) else str(value)


def read_spec(spec: str | Mapping[str, Any], kind: str = "strategy") -> Spec:
    """A spec's text as data.

    Args:
        spec: what was written, or the same as YAML reads it: `{majority: {n: 8}}`.
        kind: what is named, for messages.

    Raises:
        UsageError: it is malformed; the message names the position.
    """
    return _Reader(spec, kind).whole() if isinstance(spec, str) else _from_mapping(spec, kind)


def written(text: str) -> str:
    """A text as a spec writes it: in quotes, unless it is one plain word."""
    return text if _WORD.fullmatch(text) else quoted(text)


def quoted(text: str) -> str:
    """A text in quotes."""
    if '"' in text and "'" not in text:
        return f"'{text}'"
    return '"' + text.replace('"', '""') + '"'


def split_outside(text: str, mark: str) -> list[str]:
    """The parts of a text between marks that stand outside of parentheses and quotes, stripped."""
    parts, depth, quote, before = [""], 0, "", mark
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and before in ("=", "(", ",", mark):  # else it is an apostrophe
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == mark and not depth:
            parts.append("")
            before = char
            continue
        parts[-1] += char
        before = before if char.isspace() else char
    return [part.strip() for part in parts]


def _from_mapping(spec: Any, kind: str) -> Spec:
    if not isinstance(spec, Mapping) or len(cast("Mapping[Any, Any]", spec)) != 1:
        raise UsageError(
            f"{spec!r} is not a {kind}; write a name, or a name with its parameters such as "
            "{name: {parameter: 8}}"
        )
    ((name, values),) = cast("Mapping[Any, Any]", spec).items()
    if values is None:
        values = {}
    if not isinstance(name, str) or not isinstance(values, Mapping):
        raise UsageError(f"the parameters of {name} must be given as name: value")
    return Spec(name.strip(), {str(k): v for k, v in cast("Mapping[Any, Any]", values).items()})


_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_PLAIN = re.compile(r"[A-Za-z_]\w*(?=\s*(?:[(,)]|$))")
_REFERENCE = re.compile(r"(?:.+?\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*(?=\s*(?:[(,)]|$))", re.DOTALL)
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_PLACE = re.compile(r"[\w./\\~-]*[:/\\][\w.:/\\~-]*")
_WORD = re.compile(r"[A-Za-z_][\w.:/-]*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_QUOTED = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"")
_BARE = re.compile(r"[^\s,()'\"][^,()]*")
_NEXT = re.compile(r"\s([A-Za-z_]\w*\s*=)")
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False}


def plain_value(text: str) -> Any:
    """What a text means where nobody knows what it is for."""
    if _NUMBER.fullmatch(text):
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    return _CONSTANTS.get(text, text)


class _Reader:
    """Reads a spec from left to right."""

    def __init__(self, text: str, kind: str) -> None:
        self._text, self._kind, self._at = text, kind, 0

    def whole(self) -> Spec:
        self._skip()
        for pattern in (_PLAIN, _REFERENCE, _NAME):
            if found := pattern.match(self._text, self._at):
                break
        if found is None or (pattern is not _PLAIN and reference(found[0]) is None):
            named = self._text.strip()
            named = named if named.endswith(".py") else named.partition("(")[0].rstrip()
            self._check_place(named, self._kind)
        name = self._take(pattern, f"the name of a {self._kind}")
        spec = self._spec(name)
        self._skip()
        if self._at < len(self._text):
            self._fail("nothing more")
        return spec

    def _check_place(self, name: str, kind: str) -> None:
        """Refuse a name that says where a part is, but not which, or not as it must be written."""
        if _NAME.fullmatch(name) or reference(name) is not None:
            return
        where = name.removesuffix(":")
        if where.endswith(".py") and where != ".py":
            raise UsageError(f"{where} is a file; name the {kind} in it: {where}:NAME")
        if _MODULE.fullmatch(where):
            raise UsageError(
                f"there is no {kind} {where!r}; if that is a module, name the {kind} in it: "
                f"{where}:NAME"
            )
        if _PLACE.fullmatch(name):
            raise UsageError(
                f"{name!r} is no name of a {kind}; write a name, FILE.py:NAME or module:NAME"
            )

    def _spec(self, name: str) -> Spec:
        values: dict[str, Any] = {}
        texts: dict[str, str] = {}
        if not self._eat("("):
            return Spec(name, values)
        while not self._eat(")"):
            if values and not self._eat(","):
                self._fail("a comma or a closing parenthesis")
            if values and self._eat(")"):  # a comma may end the list
                break
            at = self._at
            key = self._take(_NAME, "the name of a parameter")
            if key in values:
                self._at = at
                self._fail(f"each parameter once, but {key} is there twice")
            if not self._eat("="):
                self._fail(f"= after {key}")
            values[key], text = self._read()
            if text is not None:
                texts[key] = text
        return Spec(name, values, texts)

    def _read(self) -> tuple[Any, str | None]:
        """A value, and how it was written if that was without quotes."""
        self._skip()
        if match := _QUOTED.match(self._text, self._at):
            self._at = match.end()
            if match[1] is not None:
                return match[1].replace("''", "'"), None
            return match[2].replace('""', '"'), None
        begin = self._at
        text = self._take(_BARE, "a value").rstrip()
        if match := _NEXT.search(self._text, begin, self._at):
            self._at = match.start(1)
            self._fail("a comma or a closing parenthesis")
        if self._text.startswith("(", self._at):
            if not _NAME.fullmatch(text) and reference(text) is None:
                self._check_place(text, "part")
                self._fail("a comma or a closing parenthesis")
            return self._spec(text), None
        return plain_value(text), text

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
            f"{found}; write name(parameter=value, ...), and a value with commas or parentheses "
            "in quotes"
        )


def as_text(spec: Any) -> Any:
    """A spec as YAML reads it, `{majority: {n: 8}}`, as text.

    Anything else, and what is malformed, is given back as it is.
    """
    if not isinstance(spec, Mapping):
        return cast("object", spec)
    try:
        return _nested(read_spec(cast("Mapping[str, Any]", spec))).renamed(str)
    except UsageError:
        return cast("object", spec)


def _nested(spec: Spec) -> Spec:
    """A spec whose values that are mappings are specs too."""
    values = {
        key: _nested(read_spec(cast("Mapping[str, Any]", value)))
        if isinstance(value, Mapping)
        else value
        for key, value in spec.values.items()
    }
    return Spec(spec.name, values)


def from_folder(spec: Any, folder: Path) -> Any:
    """A spec, as text or as YAML, whose relative Python files are found in a folder.

    Anything else, and what is malformed, is given back as it is.
    """

    def name(text: str) -> str:
        found = reference(text)
        return f"{absolute(found[0], folder)}:{found[1]}" if found else text

    if isinstance(spec, Mapping):
        return {
            name(key) if isinstance(key, str) else key: from_folder(value, folder)
            for key, value in cast("Mapping[Any, Any]", spec).items()
        }
    if not isinstance(spec, str) or ".py:" not in spec:
        return spec
    try:
        return read_spec(spec).renamed(name)
    except UsageError:
        return spec
