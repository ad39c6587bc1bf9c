"""Images and files that stand in a Prompt beside its text."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

from weft.errors import UsageError
from weft.types import Media

_MAGIC = {
    re.compile(rb"\x89PNG\r\n\x1a\n"): "image/png",
    re.compile(rb"\xff\xd8\xff"): "image/jpeg",
    re.compile(rb"GIF8"): "image/gif",
    re.compile(rb"RIFF....WEBP", re.DOTALL): "image/webp",
    re.compile(rb"%PDF-"): "application/pdf",
}
"""How files begin, by their types."""


def image(source: str | Path | bytes, *, mime: str | None = None) -> Media:
    """An image for a user's turn.

        Prompt.user("What is this?", image("bee.png"))

    Args:
        source: a path, the file's bytes, or an address that the engine reads itself
            (`https://...`, or a data URL).
        mime: the type, such as `image/png`, where neither bytes nor name say it.

    Raises:
        UsageError: the file can't be read, or is no image.
    """
    url, _ = _located(source, mime, "image")
    return Media("image", url)


def file(source: str | Path | bytes, *, name: str | None = None, mime: str | None = None) -> Media:
    """A file, such as a PDF, for a user's turn. Which types it may have, the model says.

    Args:
        source: a path, or the file's bytes.
        name: what the model is told of its name; the path's by default.
        mime: the type, where neither bytes nor name say it.

    Raises:
        UsageError: the file can't be read, or nothing says its type.
    """
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        raise UsageError(f"file takes a path or bytes, not the address {source}; load it first")
    url, found = _located(source, mime, "file")
    return Media("file", url, name or found)


def _located(source: str | Path | bytes, mime: str | None, kind: str) -> tuple[str, str]:
    """The URL of some source, and its name."""
    if isinstance(source, str) and source.startswith(("http://", "https://", "data:")):
        return source, kind
    if isinstance(source, bytes):
        content, name = source, kind
    elif isinstance(source, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        try:
            content, name = Path(source).read_bytes(), Path(source).name
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(f"can't read the {kind} {str(source)!r:.80}: {why}") from None
    else:
        raise UsageError(f"{kind} takes a path, bytes or an address, not {source!r:.60}")
    import mimetypes

    begins = next((type for magic, type in _MAGIC.items() if magic.match(content)), None)
    mime = mime or begins or mimetypes.guess_type(name)[0]
    if mime is None or (kind == "image" and not mime.startswith("image/")):
        shown = name if not isinstance(source, bytes) else "some bytes"
        raise UsageError(f"{shown} is no {kind} of a known type; give mime, such as {_LIKE[kind]}")
    return f"data:{mime};base64,{b64encode(content).decode()}", name


_LIKE = {"image": "image/png", "file": "application/pdf"}
