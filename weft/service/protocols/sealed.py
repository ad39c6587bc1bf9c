"""Sealed: text that clients keep for the service, in fields that are not theirs to read.

OpenAI and Anthropic encrypt what they put there. Here it is only encoded, so that any service of
weft reads it, whichever engine goes on.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

_MARK = "weft1:"


def sealed(text: str) -> str:
    """A text for such a field."""
    return _MARK + base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def opened(value: Any) -> str | None:
    """The text in such a field; None if it is of another service, or broken."""
    if not is_sealed(value):
        return None
    try:
        kept = base64.b64decode(value.removeprefix(_MARK), validate=True)
        return kept.decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeDecodeError):
        return None


def is_sealed(value: Any) -> bool:
    """Whether a field was sealed by weft."""
    return isinstance(value, str) and value.startswith(_MARK)
