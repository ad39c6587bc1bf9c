"""Provenance: which part of a run a value came from, by the value's identity."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache, partial
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import cast
from weakref import ref

from pydantic import BaseModel

from weft.programs.calls.completion import Completion
from weft.programs.prompt import Prompt

_HELD = 2**24
"""Bytes of values that can't be referred to weakly, such as texts; the oldest go first."""
_id = id
_DEEP, _MANY = 8, 1000  # levels and values of what is looked into
_PLAIN = (
    *(int, float, complex, type(None), type, Enum),
    *(FunctionType, MethodType, BuiltinFunctionType, ModuleType),
)
_PLAINEST = frozenset((int, float, bool, type(None), FunctionType))
"""Most of what is plain: to look at a value's class is quicker than to ask for its kind."""


class Provenance:
    """Remembers for the time of a run what its calls and nodes gave.

    Values are told by identity, never by what they say: an equal text from elsewhere is
    another value. A number or a constant has no origin. Values are not kept alive, but for
    texts and containers of numbers, which Python can't refer to weakly: of those the latest are
    held, up to 16 MiB, until the run is over. Other containers are known by what lies in them.
    """

    def __init__(self) -> None:
        self._weak: dict[int, tuple[ref[object], str]] = {}
        self._held: OrderedDict[int, tuple[object, str, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._weak) + len(self._held)

    def note(self, value: object, id: str) -> None:
        """A call or node gave a value; what lies in it keeps its own origin, if it has one."""
        for one in _within(value):
            if not isinstance(one, Completion | Prompt) and self._of(one) is None:
                self._keep(one, id)

    def text(self, text: str, id: str) -> str:
        """A call gave a text: the same as an object of its own."""
        size = len(text)
        if size > 1:  # others are objects that all share
            text = text[:1] + text[1:]
            self._held[_id(text)] = text, id, size
            self._bytes += size
            if self._bytes > _HELD:
                self._trim()
        return text

    def behind(self, values: Iterable[object]) -> list[str]:
        """Ids of the calls and nodes that gave some values, or what lies in them."""
        found: dict[str, None] = {}
        for value in islice(values, _MANY):
            if isinstance(value, _PLAIN):
                continue
            for one in _within(value, keys=True):
                origin = self._of(one)
                if origin is not None:
                    found[origin] = None
        return list(found)

    def quoted(self, prompt: Prompt) -> list[str]:
        """Ids of what gave the texts that a prompt's turns are, back to the last answer."""
        found: dict[str, None] = {}
        if self._held:
            at: Prompt | None = prompt
            while at is not None and at.call is None:
                known = self._held.get(id(at.text))
                if known is not None:
                    found[known[1]] = None
                at = at.parent
        return list(found)

    def _of(self, value: object) -> str | None:
        if isinstance(value, Completion):
            return value.call
        if isinstance(value, Prompt):
            return next((p.call for p in value.lineage() if p.call is not None), None)
        held = self._held.get(id(value))
        if held is not None:
            return held[1]
        weak = self._weak.get(id(value))
        return weak[1] if weak is not None and weak[0]() is value else None

    def _keep(self, value: object, id_: str) -> None:
        if isinstance(value, str | bytes | tuple | frozenset):
            own = cast("str | bytes | tuple[object, ...] | frozenset[object]", value)
            if not _shared(own) and _bare(own):
                self._hold(own, id_)
            return
        key = id(value)
        try:
            self._weak[key] = ref(value, partial(self._forget, key)), id_
        except TypeError:
            if _bare(value):
                self._hold(value, id_)

    def _forget(self, key: int, gone: ref[object]) -> None:
        known = self._weak.get(key)
        if known is not None and known[0] is gone:
            del self._weak[key]

    def _hold(self, value: object, id_: str) -> None:
        size = sys.getsizeof(value)
        if (before := self._held.pop(id(value), None)) is not None:
            self._bytes -= before[2]
        self._held[id(value)] = value, id_, size
        self._bytes += size
        self._trim()

    def _trim(self) -> None:
        while self._bytes > _HELD:
            _, (_, _, freed) = self._held.popitem(last=False)
            self._bytes -= freed


def _shared(text: str | bytes | tuple[object, ...] | frozenset[object]) -> bool:
    """Whether a value is one object wherever it stands, as names in code are."""
    if not isinstance(text, str):
        return len(text) < (2 if isinstance(text, bytes) else 1)
    return len(text) < 2 or (
        text.isascii()
        and text.replace("_", "a").isalnum()
        and sys.intern(text[:1] + text[1:]) is text
    )


def _bare(value: object) -> bool:
    """Whether nothing lies in a value that can be told by itself."""
    return all(isinstance(part, _PLAIN) for part in _parts(value))


def _within(value: object, *, keys: bool = False) -> Iterator[object]:
    """A value, and what lies in it: in containers, dataclasses and pydantic models.

    Args:
        value: what is looked into.
        keys: whether keys of dicts count too: votes are counted under answers, but a name of a
            field is a constant.
    """
    left = _MANY
    level = [value]
    for _ in range(_DEEP):
        below: list[object] = []
        for one in level:
            kind: type[object] = type(one)
            if kind in _PLAINEST or isinstance(one, _PLAIN):
                continue
            left -= 1
            if left < 0:
                return
            yield one
            if kind is str:
                continue
            below += _parts(one)
            if keys and isinstance(one, dict):
                below += list(cast(dict[object, object], one))[:_MANY]
        if not below:
            return
        level = below


def _parts(value: object) -> list[object]:
    if isinstance(value, str | bytes | Completion | Prompt):
        return []
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(cast(Iterable[object], value))[:_MANY]
    if isinstance(value, dict):
        return list(cast(dict[object, object], value).values())[:_MANY]
    kind: type[object] = type(value)
    names = _fields(kind)
    if names is None:
        model = cast(BaseModel, value)
        return [*vars(model).values(), *(model.model_extra or {}).values()]
    return [getattr(value, name, None) for name in names]


@lru_cache(maxsize=1024)
def _fields(kind: type[object]) -> tuple[str, ...] | None:
    """The fields of a dataclass, none of another class; None of a pydantic model."""
    if issubclass(kind, BaseModel):
        return None
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else ()
