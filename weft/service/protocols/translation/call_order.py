"""Calls of tools in their order, though an engine tells parts of several by turns."""

from __future__ import annotations

import orjson

from weft.service.protocols.events import member
from weft.service.protocols.protocol import Body


class CallOrder:
    """Tells one call of a stream after the other, as clients want them.

    As long as the arguments of a call are not whole, what comes of others is held back.
    """

    def __init__(self) -> None:
        self._at = -1  # the call that is told
        self._arguments = ""
        self._told: set[int] = set()
        self._waiting: dict[int, list[Body]] = {}
        self._ids: dict[int, str] = {}
        self._moved: dict[int, int] = {}  # where calls go that are told under a number

    def take(self, calls: list[Body]) -> list[Body]:
        """What may be told now, when this has come."""
        found: list[Body] = []
        for call in calls:
            at = call.get("index")
            if not isinstance(at, int):  # the last one goes on, unless another one is named
                last = max((self._at, *self._waiting))
                at = last + bool(call.get("id")) if last >= 0 else 0
            at = self._place(at, call)
            call = {**call, "index": at}
            if at == self._at or (not self._waiting and self._begins(at)):
                found.append(self._tell(at, call))
            elif at not in self._told:
                self._waiting.setdefault(at, []).append(call)
            while self._waiting and self._is_whole():
                found += self._next()
        return found

    def rest(self) -> list[Body]:
        """What was held back, at the end."""
        found: list[Body] = []
        while self._waiting:
            found += self._next()
        return found

    def _place(self, number: int, call: Body) -> int:
        """The place of what is told under a number; some engines number all calls alike."""
        at, id = self._moved.get(number, number), call.get("id")
        if not (isinstance(id, str) and id):
            return at
        another = self._ids.setdefault(at, id) != id and member(call, "function", "name")
        if another and (at != self._at or not self._arguments or self._is_whole()):
            at = self._moved[number] = max(self._ids) + 1
            self._ids[at] = id
        return at

    def _begins(self, at: int) -> bool:
        return at not in self._told and (self._at < 0 or self._is_whole())

    def _tell(self, at: int, call: Body) -> Body:
        if at != self._at:
            self._at, self._arguments = at, ""
            self._told.add(at)
        self._arguments += arguments_of(call)
        return call

    def _next(self) -> list[Body]:
        at = min(self._waiting)
        return [self._tell(at, call) for call in self._waiting.pop(at)]

    def _is_whole(self) -> bool:
        try:
            orjson.loads(self._arguments)
        except orjson.JSONDecodeError:
            return False
        return True


def arguments_of(call: Body) -> str:
    """The arguments of a call, or what a delta adds to them; some engines give an object."""
    given = member(call, "function", "arguments")
    if isinstance(given, dict):
        return orjson.dumps(given).decode()
    return given if isinstance(given, str) else ""
