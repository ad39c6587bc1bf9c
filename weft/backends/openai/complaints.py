"""Complaints: what an endpoint that refuses a request says it does not take.

Endpoints say so in many ways: OpenAI's with `param` and `code`, pydantic's as a list of
`detail`, gateways around the words of another, and most in words alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong with a request.

    Attributes:
        message: in words.
        param: the field's path, where it is told.
        code: a word for programs, where there is one.
        context: bounds, as pydantic tells them.
    """

    message: str
    param: str = ""
    code: str = ""
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def path(self) -> list[str]:
        """The names on the field's path."""
        names = re.findall(r"[A-Za-z_]\w*", self.param)
        return [name for name in names if name not in ("body", "root", "__root__")]

    @property
    def refuses(self) -> bool:
        """Whether a parameter is refused whatever its value."""
        said = f"{self.message} {self.code.replace('_', ' ')}".lower()
        return any(words in said for words in _REFUSED)

    def names(self, known: Iterable[str]) -> list[str]:
        """The names among `known` that it is about: by path, then quoted, then in words."""
        known = list(known)
        of_path = [name for name in self.path if name in known]
        if of_path:
            return of_path
        quoted = re.findall(r"[`'\"]([A-Za-z_][\w.]*)[`'\"]", self.message)
        found = [name for one in quoted for name in one.split(".") if name in known]
        spoken = [(at.start(), name) for name in known if (at := _spoken(name, self.message))]
        # "The model does not take ..." is not about what names the model.
        found += [name for _, name in sorted(spoken) if name not in ("model", "messages")]
        return list(dict.fromkeys(found))

    def most(self, value: float) -> float | None:
        """The largest value allowed, if it says one that is below `value`."""
        inclusive = [b for b in self._bounds(_MOST, ("le",)) if b < value]
        exclusive = [b for b in self._bounds(_BELOW, ("lt",)) if b <= value]
        # Counts are limited in hundreds, all else in ones.
        below = [b - (1 if b > 10 else 0.01) for b in exclusive]
        inclusive = [b for b in inclusive if b not in exclusive]
        return max([*inclusive, *below], default=None)

    def least(self, value: float) -> float | None:
        """The smallest value allowed, or just above, if it says one that is not below `value`."""
        inclusive = [b for b in self._bounds(_LEAST, ("ge",)) if b > value]
        exclusive = [b for b in self._bounds(_ABOVE, ("gt",)) if b >= value]
        if re.search(r"strictly positive|must be positive|be a positive", self.message):
            exclusive.append(0.0)
        found = [*inclusive, *(b + 0.01 for b in exclusive)]
        return min(found, default=None)

    def _bounds(self, pattern: re.Pattern[str], keys: tuple[str, ...]) -> Iterator[float]:
        for key in keys:
            if isinstance(bound := self.context.get(key), int | float):
                yield float(bound)
        for match in pattern.finditer(self.message):
            text = next(group for group in match.groups() if group is not None)
            yield float(text.replace(",", "").replace("_", ""))

    def choices(self, value: str) -> list[str]:
        """The values allowed, if it names some."""
        after = re.split(
            r"supported values|one of|must be|expected|allowed|choose from|permitted",
            self.message,
            maxsplit=1,
            flags=re.IGNORECASE,
        )[-1]
        named = re.findall(r"[`'\"]([A-Za-z][\w-]*)[`'\"]", after)
        return [one for one in named if one not in (value, *self.path)]


def _spoken(name: str, message: str) -> re.Match[str] | None:
    """Where a name stands in words: also as topLogprobs, top-logprobs or `top logprobs`."""
    words = r"[_\s-]?".join(re.escape(part) for part in name.split("_"))
    words = words.replace("logprobs", r"log[\s-]?prob(?:abilitie)?s")
    if name in LIMITS:
        words = rf"{words}|max[_\s-]?(?:output|new)[_\s-]?tokens"
    elif name == "stream":
        words = "stream(?:ing|ed)?"
    elif name in ("presence_penalty", "frequency_penalty"):
        words = rf"{words}|(?<!_)penalt(?:y|ies)"
    # Sentences in scripts without spaces may hold a name.
    return re.search(rf"(?<![A-Za-z0-9_-])(?:{words})(?![A-Za-z0-9_-])", message, re.IGNORECASE)


_REFUSED = (
    "not supported",
    "unsupported",
    "not support",
    "n't support",
    "not permitted",
    "not allowed",
    "unknown",
    "unrecognized",
    "unexpected",
    "unavailable",
    "only the default",
    "not enabled",
)

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
"""What endpoints call the limit of an answer."""


_N = r"[`'\"(\[]*(-?\d[\d,_]*(?:\.\d+)?)"
_RANGE = (
    r"-?\d[\d,_]*(?:\.\d+)?[`'\")\]]*\s*(?:\(inclusive\)\s*)?(?:and|to|,|-|\u2013|\.\.)\s*" + _N
)
_MOST = re.compile(
    r"(?:<=|≤|less than or equal to|equal to or less than|smaller than or equal to|at most"
    r"|up to|no (?:more|greater|larger) than|not (?:be )?(?:exceed|(?:greater|more|larger) than)"
    r"|can(?:not|'t) (?:exceed|be (?:greater|more|larger) than)|exceeds?(?: the)?(?: maximum)?"
    r"(?: allowed)?(?: value)?(?: of)?"
    r"|max(?:imum)?(?: (?:allowed|supported|value|limit|number|is|of|for|tokens|\S+))*?[:=]?"
    rf"|limit(?:ed)?(?: (?:is|of|to))?[:=]?|\d\s*>)\s*{_N}"
    rf"|(?:between|range|from|in)[^\d\[(-]{{0,20}}[\[(]?\s*{_RANGE}"
    rf"|\[\s*{_RANGE}\s*\]",
    re.IGNORECASE,
)
_LEAST = re.compile(
    r"(?:>=|≥|greater than or equal to|larger than or equal to|at least|no less than"
    rf"|not be less than|minimum(?: \S+)*?[:=]?)\s*{_N}",
    re.IGNORECASE,
)
_BELOW = re.compile(
    rf"(?:(?<!-)<|(?:less|smaller|lower) than|below|under)\s*{_N}"
    r"|(?:to|and|,|-)\s*(-?\d[\d,_]*(?:\.\d+)?)\s*\(exclusive",
    re.IGNORECASE,
)
_ABOVE = re.compile(rf"(?:>|greater than|larger than|more than|above)\s*{_N}", re.IGNORECASE)


_LONGEST = 1000  # characters that are read of a message


def complaints(body: Any) -> list[Complaint]:
    """All that a refusal's body says is wrong; empty if it says nothing.

    Args:
        body: its JSON, or its text.
    """
    return list(_read(body, Complaint("")))


def _read(body: Any, around: Complaint) -> Iterator[Complaint]:
    if isinstance(body, str):
        yield from _of_text(body.strip(), around)
    elif isinstance(body, list):
        for one in cast("list[Any]", body):
            yield from _read(one, around)
    elif isinstance(body, dict):
        given = cast("dict[str, Any]", body)
        yield from _of_pydantic(given) if "loc" in given else _of_object(given, around)


def _of_text(text: str, around: Complaint) -> Iterator[Complaint]:
    start = text.find("{")
    if start >= 0:  # a gateway around another's words
        try:
            inner = json.loads(text[start:])
        except ValueError:
            inner = None
        if found := list(_read(inner, around)):
            yield from found
            return
    if text:
        yield replace(around, message=" ".join(text.split())[:_LONGEST])


def _of_pydantic(given: dict[str, Any]) -> Iterator[Complaint]:
    path = ".".join(map(str, cast("list[Any]", given["loc"])))
    context: Any = given.get("ctx")
    bounds = cast("dict[str, Any]", context) if isinstance(context, dict) else {}
    yield Complaint(str(given.get("msg", "")), path, str(given.get("type", "")), bounds)


def _of_object(given: dict[str, Any], around: Complaint) -> Iterator[Complaint]:
    param = next((given[name] for name in _FIELD if given.get(name)), around.param)
    here = Complaint("", str(param), str(given.get("code") or around.code))
    about: Any = given.get("metadata")
    raw = cast("dict[str, Any]", about).get("raw") if isinstance(about, dict) else None
    found = [one for inner in _INNER for one in _read(given.get(inner), here)]
    if found := [*_read(raw, here)] or found:
        yield from found
        return
    for name, inner in given.items():  # some list what is wrong under the fields' names
        if isinstance(inner, str | list | dict) and name not in _FIELD:
            yield from _read(inner, replace(here, param=name))


_INNER = ("error", "errors", "details", "message", "detail", "msg")
"""Where an object holds what it says; lists of fields say it more clearly than words."""

_FIELD = ("param", "field", "parameter", "property")
"""Where it names what it is about."""
