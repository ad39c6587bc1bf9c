"""What a tool returned, as a model reads and sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from weft.errors import UsageError
from weft.programs.prompt import value_text
from weft.types import Media


def shown(value: Any) -> tuple[str, tuple[Media, ...]]:
    """The text that a model reads of a value, and the images and files that it sees.

    A text is told as it is, bytes as the text or the image that they are, and any other value as
    JSON. Images and files (`image(...)`, `file(...)`) may stand alone or in a list.

    Args:
        value: what a tool returned.
    """
    if isinstance(value, bytes | bytearray):
        return _of_bytes(bytes(value))
    if isinstance(value, Media):
        return _SHOWN.format(value.kind), (value,)
    if isinstance(value, list | tuple):
        several = cast("Sequence[Any]", value)
        media = tuple([one for one in several if isinstance(one, Media)])
        if media:
            told = [_SHOWN.format(m.kind) if isinstance(m, Media) else m for m in several]
            alone = all(isinstance(one, str) for one in told)
            return "\n".join(told) if alone else value_text(told), media
    return value_text(value), ()


_SHOWN = "[the {} is shown below]"


def _of_bytes(value: bytes) -> tuple[str, tuple[Media, ...]]:
    try:
        return value.decode(), ()
    except UnicodeDecodeError:
        pass
    from weft.programs.media import image  # few tools return any

    try:
        made = image(value)
    except UsageError:
        return f"[{len(value)} bytes, which are neither a text nor an image]", ()
    return _SHOWN.format(made.kind), (made,)
