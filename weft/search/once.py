"""Warnings that are said once to the users of a pool."""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

from weft.orchestrator.pool import Pool

_log = logging.getLogger(__name__)
_warned: WeakKeyDictionary[Pool, set[str]] = WeakKeyDictionary()


def warn_once(pool: Pool, sentence: str, about: str = "") -> None:
    """Log a warning, unless the same was said to users of the pool before.

    Args:
        pool: whose users are meant.
        sentence: what is said.
        about: what counts as the same; the sentence itself if empty.
    """
    warned = _warned.setdefault(pool, set())
    if (about or sentence) not in warned:
        warned.add(about or sentence)
        _log.warning("%s", sentence)
