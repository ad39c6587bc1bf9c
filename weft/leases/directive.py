"""Directive: what a request says of leases, in `kv_transfer_params` under `weft`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

FIELD = "weft"
"""The key within `kv_transfer_params`."""
LONGEST = 3600.0
"""Seconds for which a lease holds at most."""


@dataclass(frozen=True, slots=True)
class Directive:
    """What a request asks for.

    Attributes:
        lease: id under which the request's blocks are kept when it has ended; empty keeps none.
            It adds to what is kept under the id.
        supersedes: what was kept under the id before, and is no part of this request, is forgotten
            first: the request goes on with a conversation, or with what was made of it.
        turn: tells apart requests of one lease; those of the same turn, such as the choices of
            one call, never supersede each other.
        seconds: how long the lease holds, unless a later request says otherwise.
        next_use: in how many seconds the blocks are probably used again; those of the farthest
            next use are given up first.
        tenant: whose share the lease counts in.
        lost: what the request has computed is of no use if it is aborted.
        release: ids of leases that end; their blocks are forgotten by age again.
        forget: ids of leases that end, and whose blocks are forgotten first.
    """

    lease: str = ""
    supersedes: bool = False
    turn: str = ""
    seconds: float = 60.0
    next_use: float = 60.0
    tenant: str = ""
    lost: bool = False
    release: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """As the field of a request; what is as by default is left out."""
        plain = Directive()
        said: dict[str, Any] = {
            name: getattr(self, name)
            for name in self.__slots__
            if getattr(self, name) != getattr(plain, name)
        }
        return {FIELD: said}


def read_directive(params: object) -> Directive | None:
    """The directive of a request's `kv_transfer_params`; None if there is none.

    What does not fit is taken as not said: a request is not to fail for what it hopes for.
    """
    said = _mapping(params).get(FIELD)
    if not isinstance(said, Mapping):
        return None
    given = _mapping(cast(object, said))
    plain = Directive()
    seconds = _seconds(given.get("seconds"), plain.seconds)
    return Directive(
        lease=_text(given.get("lease")),
        turn=_text(given.get("turn")),
        seconds=seconds,
        next_use=_seconds(given.get("next_use"), seconds),
        tenant=_text(given.get("tenant")),
        supersedes=given.get("supersedes") is True,
        lost=given.get("lost") is True,
        release=_texts(given.get("release")),
        forget=_texts(given.get("forget")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(one for one in cast("list[object]", value) if isinstance(one, str))


def _seconds(value: object, otherwise: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return otherwise
    return min(max(float(value), 0.0), LONGEST)
