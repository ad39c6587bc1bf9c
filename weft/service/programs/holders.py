"""Which engine holds which response: what goes on from one, or asks for it, must go there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import xxhash

_MOST = 200_000


class Holders:
    """Responses that engines keep, by whose they are and their ids; the oldest are forgotten.

    Args:
        most: how many are remembered.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._engines: OrderedDict[bytes, str] = OrderedDict()

    def note(self, tenant: str, id: str, engine: str) -> bytes:
        """An engine has given a response; returns the key under which that is kept."""
        key = _key(tenant, id)
        self._engines[key] = engine
        self._engines.move_to_end(key)
        if len(self._engines) > self._most:
            self._engines.popitem(last=False)
        return key

    def engine(self, tenant: str, id: str) -> str:
        """The engine that holds a tenant's response; empty if that is not known."""
        return self._engines.get(_key(tenant, id), "")

    def load(self, rows: Iterable[tuple[bytes, str]]) -> None:
        """Remember what another process kept, the oldest first."""
        for key, engine in rows:
            self._engines.setdefault(key, engine)


def _key(tenant: str, id: str) -> bytes:
    return xxhash.xxh3_128_digest(f"{tenant}\0{id}".encode())
