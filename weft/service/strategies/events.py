"""The stream of a strategy's answer: text as soon as it is certain, comments meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from weft.errors import EngineUnavailable, WeftError
from weft.service.strategies.forms import (
    KEEP_ALIVE,
    PIECE,
    NoWholeAnswer,
    StrategyForm,
    StrategyResult,
)

Item = str | None | StrategyResult | WeftError
"""What a stream is made of: text, a new beginning of it, the result, or an error."""


class Events:
    """The server-sent events of an answer, as they can be told; read by `async for`."""

    def __init__(
        self,
        form: StrategyForm,
        stops: Sequence[str],
        items: MemoryObjectReceiveStream[Item],
        keep_alive: float,
    ) -> None:
        self._form, self._items, self._keep_alive = form, items, keep_alive
        # A stop string may be on its way, and is no part of the answer.
        self._stops, self._back = stops, max(map(len, stops), default=0)
        self._given: list[str] = []  # what the client has
        self._again = ""  # what it has and another engine must repeat
        self._held = ""  # what has come of the text behind that
        self._ready: deque[bytes] = deque()
        self._over = self._begun = False
        self._error: NoWholeAnswer | None = None

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> bytes:
        while not self._ready:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._over:
                raise StopAsyncIteration
            await self._more()
        return self._ready.popleft()

    async def begin(self) -> None:
        """Wait until there is something to tell, and begin with it."""
        start = self._form.start()
        await self._more()
        self._ready.appendleft(start)
        self._begun = True

    async def _more(self) -> None:
        """Take what comes next, or note that nothing came for a while."""
        due = anyio.current_time() + self._keep_alive
        while not self._ready and not self._over:
            item: Item = None
            with anyio.move_on_at(due) as waiting:
                item = await self._items.receive()
            if waiting.cancelled_caught:
                self._ready.append(KEEP_ALIVE)
            else:
                self._take(item)

    def _take(self, item: Item) -> None:
        match item:
            case None:
                self._again, self._held = "".join(self._given), ""
            case str():
                self._held += item
                self._tell()
            case StrategyResult():
                self._finish(item)
            case NoWholeAnswer() as error if self._begun:
                self._over, self._error = True, error  # behind the text, which is all there is
                text, given = error.result.text, "".join(self._given)
                self._pieces(text[len(given) :] if text.startswith(given) else "")
            case error:
                self._over = True
                raise error

    def _tell(self) -> None:
        """Give what is certain of the text that has come."""
        if self._again:
            if len(self._held) < len(self._again):
                return
            self._check_repeats(self._held)
            self._held, self._again = self._held[len(self._again) :], ""
        ends = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if (sure := min([len(self._held) - self._back, *ends])) > 0:
            self._give(self._held[:sure])
            self._held = self._held[sure:]

    def _give(self, text: str) -> None:
        self._given.append(text)
        self._ready.append(self._form.delta(text))

    def _pieces(self, text: str) -> None:
        for at in range(0, len(text), PIECE):
            self._give(text[at : at + PIECE])

    def _finish(self, result: StrategyResult) -> None:
        self._again = "".join(self._given)
        if result.text and self._again.endswith(result.text):
            rest = ""  # that thinking went before it showed only when that ended
        else:
            self._check_repeats(result.text)
            rest = result.text[len(self._again) :]
        self._pieces(rest)
        self._ready.append(self._form.end(result))
        self._over = True

    def _check_repeats(self, text: str) -> None:
        """Raise unless a text goes on from what the client has."""
        if not text.startswith(self._again):
            self._over = True
            raise EngineUnavailable(
                "an engine died in the midst of the answer, and another one answers differently; "
                "ask again"
            )
