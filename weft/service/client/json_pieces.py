"""Large JSON, read in pieces: no other thread waits long while one is read.

orjson lets no other thread run while it reads. So the text is cut at commas. A piece that begins
within some lists and objects is read with those opened before it, and what it adds to them is
put where it belongs. Parts of long strings are read for themselves. How many values there may be
is bounded, and they are freed in pieces too: Python frees a value with all that is in it at once,
and its garbage collector looks at all lists and objects at once.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any, cast

import orjson

from weft.service.client.guard import too_deep

_PIECE = 1 << 19
"""Bytes that are read at once, in which nobody else runs: for a few milliseconds."""

_SMALL = 4 << 20
"""Bytes of a text that is read once more in one piece, to say exactly what is wrong with it."""

_DEEP = 250
"""Levels of nesting; `too_deep` has the exact bound."""

CONTAINERS, MEMBERS, VALUES = 250_000, 500_000, 2_000_000
"""Lists and objects in a text, members of its objects, and all values in both: far more than a
prompt has."""

_FREED = 10_000
"""Items of a list that are freed at once."""

_ESCAPE = b"\\"
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_LOW = (b"dc", b"dd", b"de", b"df")  # of a pair of surrogates, how the second one begins
_CLOSED = bytes.maketrans(b"[{", b"]}")

# Members that stand before and behind what is read of an object or a list that was cut.
_BEFORE, _BEHIND = secrets.token_hex(), secrets.token_hex()
_LIST, _OBJECT = b"[{"
_OPEN = {_LIST: b"[", _OBJECT: b"{%b:" % orjson.dumps(_BEFORE)}
_FIRST = {_LIST: b"[0,", _OBJECT: b"{%b:0," % orjson.dumps(_BEFORE)}
_LAST = {_LIST: b"0]", _OBJECT: b"%b:0}" % orjson.dumps(_BEHIND)}
_TEXT = secrets.token_hex(8)
_texts = re.compile(_TEXT + r"(\d+);")  # stands for a part of a long string, by its number


class TooDeep(Exception):
    """The JSON nests deeper than any engine reads."""


class TooMany(Exception):
    """The JSON has too many lists, objects, members or values."""


class NoJson(ValueError):
    """The text is not JSON."""


def read_pieces(raw: bytes, bounded: bool = True) -> Any:
    """What orjson makes of a text, but in pieces; for a thread of its own.

    Args:
        raw: the text.
        bounded: whether the bounds on what is in it hold.

    Raises:
        NoJson: it is not JSON.
        TooDeep: see `too_deep`.
        TooMany: it has more than `CONTAINERS`, `MEMBERS` or `VALUES`.
    """
    reader = _Reader(raw, bounded)
    try:
        return reader.read()
    except (orjson.JSONDecodeError, _Odd) as error:
        if len(raw) > _SMALL:
            said = "a name comes twice, or something is closed twice,"
            said = error.msg if isinstance(error, orjson.JSONDecodeError) else said
            raise NoJson(f"{said} near byte {reader.begun}") from None
    finally:
        reader.close()
    try:
        value: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise NoJson(str(error)) from None
    if too_deep(raw, value):
        raise TooDeep
    return value


class _Odd(Exception):
    """Pieces do not fit together: a key comes twice, or it is not JSON."""


class _Reader:
    """Reads one text; `begun` is where the piece begins that is read now."""

    def __init__(self, raw: bytes, bounded: bool) -> None:
        self.raw, self.begun, self._bounded = raw, 0, bounded
        self._parts: list[bytes] = []  # of the piece, up to the last part of a string taken out
        self._texts: list[str] = []  # the parts of strings
        self._outside: list[bytes] = []  # of the piece, what is in no string
        self._open = b""  # lists and objects around the beginning of the piece
        self._whole: Any = None
        self._done = False
        self._containers = self._members = self._values = 0

    def read(self) -> Any:
        """All of it."""
        raw, at, within = self.raw, 0, 0
        while len(raw) - at > _PIECE:  # `within` says whether that is in a string
            stop = _cut(raw, at, at + _PIECE)
            parts = _without_escapes(raw[at:stop]).split(b'"')
            if within and len(parts) == 1:
                self._parts += raw[self.begun : at], f"{_TEXT}{len(self._texts)};".encode()
                self._texts.append(orjson.loads(b'"%b"' % raw[at:stop]))
                self.begun = at = stop
                continue
            comma = _last_comma(parts, within)
            if comma is None:
                self._outside += parts[within::2]
                within ^= (len(parts) - 1) & 1
                at = stop
                continue
            index, end = comma
            self._outside += [*parts[within:index:2], parts[index][:end]]
            at += sum(map(len, parts[:index])) + index + end
            self._take(raw[self.begun : at], last=False)
            self.begun, within = at, 0
        self._outside += _without_escapes(raw[at:]).split(b'"')[within::2]
        self._take(raw[self.begun :], last=True)
        self._done = True
        return self._whole

    def close(self) -> None:
        """Free what was read, if that is not all."""
        if not self._done:
            take_apart(self._whole)

    def _take(self, rest: bytes, last: bool) -> None:
        """Read a piece that ends with this, and put what it holds where it belongs."""
        piece = b"".join([*self._parts, rest])
        around = self._open
        outside = b"".join(self._outside)
        self._outside = []
        self._members += outside.count(b":")
        brackets = outside.translate(None, _NO_BRACKETS)
        self._containers += brackets.count(b"[") + brackets.count(b"{")
        self._values += outside.count(b",")
        if self._bounded and (
            self._containers > CONTAINERS or self._members > MEMBERS or self._values > VALUES
        ):
            raise TooMany
        brackets = around + brackets
        self._open = inside = _left_open(brackets)
        fits = last or (inside != b"" and not inside.translate(None, b"[{"))
        before = [_OPEN[one] for one in around[:-1]] + [_FIRST[one] for one in around[-1:]]
        behind = [] if last or not fits else [_LAST[inside[-1]], inside[-2::-1].translate(_CLOSED)]
        text = b"".join([*before, piece, *behind])
        value: Any = orjson.loads(text)
        if not fits:
            raise _Odd  # it is over, but goes on
        if too_deep(text, value):
            raise TooDeep
        if self._texts:
            value = _filled(value, self._texts)
            self._parts, self._texts = [], []
        if not last:
            _innermost(value, inside).pop(_BEHIND if inside[-1] == _OBJECT else -1)
        if around:
            _join(self._whole, value, around)
        else:
            self._whole = value


def take_apart(value: Any) -> None:
    """Empty all lists and objects of a value that nobody needs; for a thread of its own."""
    left = [value]
    while left:
        one = left.pop()
        if type(one) is dict:
            members = cast(dict[str, Any], one)
            left += [member for member in members.values() if type(member) in (list, dict)]
            members.clear()
        elif type(one) is list:
            items = cast(list[Any], one)
            left += [item for item in items if type(item) in (list, dict)]
            while items:
                del items[-_FREED:]


def _cut(raw: bytes, at: int, stop: int) -> int:
    """Where to cut near a place: not within a character or an escape, nor between surrogates."""
    while stop > at and raw[stop] & 0xC0 == 0x80:
        stop -= 1
    tail = raw[max(at, stop - 6) : stop]
    if _ESCAPE in tail:
        run = raw[at : stop - len(tail) + tail.rfind(_ESCAPE) + 1]
        stop = at + len(run.rstrip(_ESCAPE))
        if stop == at:  # nothing else
            return at + max(2, len(run) & ~1)
    if raw[stop : stop + 2] == b"\\u" and raw[stop + 2 : stop + 4].lower() in _LOW:
        stop -= 6
    return max(stop, at + 1)


def _without_escapes(text: bytes) -> bytes:
    """A text of the same length in which all quotes begin or end strings."""
    if _ESCAPE not in text:
        return text
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def _last_comma(parts: Sequence[bytes], within: int) -> tuple[int, int] | None:
    """The part with the last comma that is in no string, and where that ends in it."""
    last = len(parts) - 1
    for index in range(last - ((last - within) & 1), -1, -2):
        end = parts[index].rfind(b",") + 1
        if end:
            return index, end
    return None


def _left_open(brackets: bytes) -> bytes:
    """Brackets less those that are closed again."""
    for _ in range(_DEEP + 10):
        less = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(less) == len(brackets):
            break
        brackets = less
    if len(brackets) > _DEEP + 10:
        raise TooDeep
    return brackets


def _innermost(value: Any, around: bytes) -> Any:
    """The list or object at the end of a value."""
    for _ in around[:-1]:
        value = _last(value)
    return value


def _last(value: Any) -> Any:
    """The last item or member; no name of a member comes twice, or it may be another one."""
    if type(value) is list:
        return cast(list[Any], value)[-1]
    return next(reversed(cast(dict[str, Any], value).values()))


def _join(whole: Any, more: Any, around: bytes) -> None:
    """Put what a piece holds behind what was read before it.

    Args:
        whole: what was read.
        more: what the piece holds, with the lists and objects around it.
        around: how those begin.

    Raises:
        _Odd: it does not belong there.
    """
    for level in range(1, len(around) + 1):
        if type(whole) is not type(more):
            raise _Odd
        following = _last(whole) if level < len(around) else None
        if type(whole) is list:
            inner, *rest = cast(list[Any], more)
            cast(list[Any], whole).extend(rest)
        else:
            members = cast(dict[str, Any], more)
            inner = members.pop(_BEFORE)
            cast(dict[str, Any], whole).update(members)
        whole, more = following, inner


def _filled(value: Any, texts: list[str]) -> Any:
    """A value with the parts of strings that were taken out."""
    if type(value) is str:
        return _texts.sub(lambda found: texts[int(found[1])], value) if _TEXT in value else value
    if type(value) is list:
        return [_filled(one, texts) for one in cast(list[Any], value)]
    if type(value) is dict:
        members = cast(dict[str, Any], value)
        return {_filled(key, texts): _filled(one, texts) for key, one in members.items()}
    return value
