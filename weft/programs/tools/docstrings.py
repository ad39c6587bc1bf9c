"""What docstrings say of a function and its arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_SECTION = re.compile(r"(\w[\w ]*):\s*\Z")
_ARGUMENTS = ("Args", "Arguments", "Parameters", "Params")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)\Z")
_SPHINX = re.compile(r":param\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)\Z")
_NUMPY = re.compile(r"(\w+)\s*(?::.*)?\Z")


def described(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What a function does, and what its arguments are, by the styles of Google, NumPy and Sphinx.

    Sections behind the arguments, such as `Raises:`, are for programmers and are left out.
    """
    lines = (inspect.getdoc(function) or "").splitlines()
    told: list[str] = []
    about: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        underlined = at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip())
        section = _SECTION.match(line)
        if section is not None or underlined:
            name = section[1] if section is not None else line
            begin = at + (2 if underlined else 1)
            at = _end(lines, begin, indented=not underlined)
            if name in _ARGUMENTS:
                about |= _entries(lines[begin:at], _NUMPY if underlined else _GOOGLE)
            elif not underlined and name not in _OTHERS:
                told += lines[begin - 1 : at]  # a heading of the text itself
            continue
        if (match := _SPHINX.match(line)) is not None:
            begin, at = at, _end(lines, at + 1, indented=True)
            about[match[1]] = _joined([match[2], *lines[begin + 1 : at]])
        elif not re.match(r":(?:return|returns|raises|rtype|type)\b", line):
            told.append(lines[at])
            at += 1
        else:
            at = _end(lines, at + 1, indented=True)
    return "\n".join(told).strip(), about


_OTHERS = ("Returns", "Return", "Raises", "Yields", "Example", "Examples", "Note", "Notes")


def _end(lines: list[str], begin: int, *, indented: bool) -> int:
    """Where a section ends."""
    at = begin
    while at < len(lines):
        line = lines[at]
        if indented and line.strip() and not line[:1].isspace():
            break
        if not indented and at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip()):
            break
        at += 1
    return at


def _entries(lines: list[str], begins: re.Pattern[str]) -> dict[str, str]:
    """The entries of a section of arguments: each begins at the least indentation."""
    least = min((len(one) - len(one.lstrip()) for one in lines if one.strip()), default=0)
    found: dict[str, list[str]] = {}
    last: list[str] = []
    for line in lines:
        match = begins.match(line.strip()) if len(line) - len(line.lstrip()) == least else None
        if match is not None:
            last = found[match[1]] = list(match.groups()[1:])
        else:
            last.append(line)
    return {name: _joined(texts) for name, texts in found.items()}


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
