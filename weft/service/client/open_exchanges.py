"""OpenExchanges: the requests that are under way, and what is done for those that stand still."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from weft.errors import Refused
from weft.service.client.exchange import BEATS, Exchange


class OpenExchanges(set[Exchange]):
    """Requests under way. One task looks at all of them, for a timer each would cost more."""

    async def keep_open(self, interval: Callable[[], float]) -> None:
        """Send comments to streams that are silent for too long; until cancelled.

        Args:
            interval: seconds of silence; it may change.
        """
        while True:
            await anyio.sleep(interval() / BEATS)
            for exchange in self:
                exchange.beat()

    async def sweep(self, most: Callable[[], float]) -> None:
        """End requests whose clients do not take what is sent to them; until cancelled.

        Args:
            most: seconds that a client may stand still; it may change.
        """
        while True:
            await anyio.sleep(1.0)
            limit = most()
            since = time.monotonic() - limit
            for exchange in [e for e in self if e.stuck(since)]:
                if exchange.begun:
                    exchange.drop(Refused(408, f"the client took nothing for {limit:.0f} s"))
                else:
                    late = f"nothing came of the body for {limit:.0f} s; send it at once"
                    exchange.cancel(Refused(408, late))
