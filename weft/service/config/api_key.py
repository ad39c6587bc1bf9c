"""API keys: made here, and kept as hashes."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

PREFIX = "weft-"
HASH = re.compile(r"sha256:[0-9a-f]{64}")
SHORTEST = 16
"""Letters that a key must have which was not made here."""


def new_key() -> str:
    """A new key: 256 random bits, as text that fits into headers and shells."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """What is kept of a key, as `sha256:HEX`.

    Keys are random, not chosen by people: there is no dictionary to try, so a plain digest
    can't be turned back, and the slow hashes for passwords would cost every request for nothing.
    """
    return f"sha256:{sha256(key.encode()).hexdigest()}"
