"""Entry points: what installed packages bring, by the group and the name that they give it."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING

from weft.errors import UsageError, WeftError
from weft.parts.faults import said

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def brought(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group; nothing of them is imported."""
    return _found(group, tuple(sys.path))


@lru_cache(maxsize=32)
def _found(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of a group; `path` is where packages are looked for."""
    from importlib.metadata import entry_points  # takes as long as the rest of the registry

    return tuple(entry_points(group=group))


def bringer(offer: EntryPoint) -> str:
    """The package that brings an entry point, and what of the package, for messages."""
    package = f"package {offer.dist.name}" if offer.dist is not None else "a package"
    return f"{package} ({offer.value})"


def imported(offer: EntryPoint, kind: str) -> object:
    """What an entry point stands for.

    Args:
        offer: the entry point.
        kind: what it brings, for messages.

    Raises:
        UsageError: it can't be imported.
    """
    try:
        return offer.load()
    except (Exception, SystemExit) as e:
        reason = str(e) if isinstance(e, WeftError) else said(e)
        raise UsageError(
            f"{kind} {offer.name!r} of {bringer(offer)} can't be imported: {reason}; mend "
            "or uninstall the package"
        ) from e
