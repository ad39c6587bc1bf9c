"""Token ids that many calls want at once: asked for once, and remembered for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

import anyio

Tokens = tuple[int, ...]

MOST = 2**18
"""Tokens that are remembered in all; those asked for longest ago are forgotten first."""


@dataclass(slots=True)
class _Asking:
    """What is being asked for."""

    ended: anyio.Event
    tokens: Tokens | None = None
    error: Exception | None = None


class TokenMemo:
    """Remembers token ids by what they stand for, such as a model and a text.

    Args:
        most: tokens to remember in all.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, Tokens] = OrderedDict()
        self._asking: dict[Hashable, _Asking] = {}
        self._held = 0

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[Tokens]]) -> Tokens:
        """The ids of `key`; `ask` is awaited only if nobody knows them or asks already.

        Whoever waits for another's answer gets its error too. If the one who asks is
        cancelled, the next one asks.
        """
        while True:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
            if (asking := self._asking.get(key)) is None:
                return await self._ask(key, ask)
            await asking.ended.wait()
            if asking.error is not None:
                raise asking.error
            if asking.tokens is not None:
                return asking.tokens

    async def _ask(self, key: Hashable, ask: Callable[[], Awaitable[Tokens]]) -> Tokens:
        asking = self._asking[key] = _Asking(anyio.Event())
        try:
            tokens = asking.tokens = await ask()
        except Exception as error:
            asking.error = error
            raise
        finally:
            del self._asking[key]
            asking.ended.set()
        self._known[key] = tokens
        self._held += len(tokens)
        while self._held > self._most:
            self._held -= len(self._known.popitem(last=False)[1])
        return tokens
