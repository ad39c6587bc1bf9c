"""Which web pages may use the service from a browser (CORS)."""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = (
    b"x-request-id, request-id, retry-after, x-should-retry, x-weft-program, x-weft-call, "
    b"x-weft-engine, x-weft-waited, x-weft-where, x-weft-wait, content-disposition, "
    b"content-range, accept-ranges"
)
_DAY = b"86400"


class Origins:
    """Tells browsers which pages may ask, and read the answers.

    Args:
        listed: the origins that may, in small letters; `*` for all.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._listed = frozenset(listed)
        self._all = "*" in self._listed

    def __bool__(self) -> bool:
        return bool(self._listed)

    def headers(self, origin: str) -> list[tuple[bytes, bytes]]:
        """What is added to an answer for a page of an origin; nothing if it is not listed."""
        if not origin or not (self._all or origin.lower() in self._listed):
            return [(b"vary", b"origin")] if self._listed and not self._all else []
        allowed = b"*" if self._all else origin.encode("latin-1")
        found = [(b"access-control-allow-origin", allowed)]
        if not self._all:
            found.append((b"vary", b"origin"))
        return [*found, (b"access-control-expose-headers", _SHOWN)]

    def preflight(self, origin: str, wished: str) -> list[tuple[bytes, bytes]] | None:
        """What `headers` lack where a browser asks before it sends; None if the page may not.

        Args:
            origin: of the page.
            wished: the headers that it wants to send, as Access-Control-Request-Headers.
        """
        if not self._all and origin.lower() not in self._listed:
            return None
        return [
            (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-headers", wished.encode("latin-1", "replace") or b"*"),
            (b"access-control-max-age", _DAY),
        ]
