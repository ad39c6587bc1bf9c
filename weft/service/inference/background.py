"""Responses that engines make in the background: asked for until they are made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from weft.errors import EngineError
from weft.service.client.client import Header
from weft.service.engines.upstream import Upstream
from weft.service.protocols.events import object_in
from weft.service.protocols.protocol import Body

_FIRST, _LONGEST = 0.1, 2.0
"""Seconds between two questions, at first and at most."""
_LOST = 5
"""Questions without an answer after which nothing more is expected."""


def is_running(response: Body) -> bool:
    """Whether a response is made in the background, and not made yet."""
    return (
        response.get("object") == "response"
        and response.get("status") in ("queued", "in_progress")
        and isinstance(response.get("id"), str)
    )


async def until_done(upstream: Upstream, place: str, headers: Sequence[Header]) -> Body:
    """Wait until a response is made.

    Args:
        upstream: to the engine that makes it.
        place: the response's path.
        headers: to ask with.

    Returns:
        the response; empty if the engine does not know it any more.
    """
    wait, lost = _FIRST, 0
    while True:
        await asyncio.sleep(wait)
        wait = min(_LONGEST, 1.5 * wait)
        try:
            reply = await upstream.send("GET", place, headers)
            try:
                status, raw = reply.status, await reply.whole()
            finally:
                reply.close()
        except EngineError:
            status, raw = 503, b""
        if status >= 500:
            lost += 1
            if lost < _LOST:
                continue
            return {}
        response = object_in(raw) if status == 200 else {}
        if not is_running(response):
            return response
        lost = 0


async def stop(upstream: Upstream, place: str, headers: Sequence[Header]) -> None:
    """Have an engine stop making a response, if it still does."""
    try:
        reply = await upstream.send("POST", f"{place}/cancel", headers)
        reply.close()
    except EngineError:
        pass
