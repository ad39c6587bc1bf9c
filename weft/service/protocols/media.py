"""Parts of a prompt that are no text: images, audio, video and files, inline or by address.

How many tokens an engine makes of such a part says nothing of how many bytes it has. So in a
prompt's pieces a part is stood for by its digest, drawn out to a fixed length behind a mark
that text never has. Equal parts give equal bytes, and so are found in the prefix; whoever
counts tokens counts marks.
"""

from __future__ import annotations

import re
from typing import Any, cast

import xxhash

SIZE = 4096
"""Bytes that stand for a part."""

# UTF-8 has no such byte, and of four bytes of a token's id the last is always zero.
_MARK = b"\xff" * 8

_KINDS = frozenset(
    (
        *("image_url", "input_image", "image", "image_embeds", "image_pil", "image_file"),
        *("image_generation_call", "computer_screenshot"),
        *("input_audio", "audio", "audio_url", "audio_embeds"),
        *("input_video", "video", "video_url"),
        *("input_file", "file", "document", "container_upload"),
    )
)
# vLLM takes parts that have no type, but one of these.
_UNTYPED = ("image_url", "image_embeds", "image_pil", "audio_url", "input_audio", "video_url")
_NO_CONTENT = frozenset(("cache_control", "id", "status"))


def is_media(part: dict[str, Any]) -> bool:
    """Whether a part of content is no text; a document may hold text."""
    kind = part.get("type")
    if kind is None:
        return any(key in part for key in _UNTYPED)
    return type(kind) is str and kind in _KINDS


def holds_media(part: dict[str, Any], deep: int = 2) -> bool:
    """Whether an object of another kind holds bytes, as resources of tool servers do.

    They stand there as a `data:` address, beside the name of their type, or as base64 alone.

    Args:
        part: the object.
        deep: how many objects within each other are looked at.
    """
    typed = not _TYPES.isdisjoint(part)
    for key, value in part.items():
        if type(value) is str:
            if typed and key in _DATA:
                return True
            if value.startswith("data:") and ";base64," in value[:200]:
                return True
            if len(value) > _NO_WORD and _BASE64.fullmatch(value):
                return True
        elif (
            type(value) is dict and deep > 1 and holds_media(cast(dict[str, Any], value), deep - 1)
        ):
            return True
    return False


_TYPES = frozenset(("mimeType", "mime_type", "mediaType", "media_type"))
_DATA = ("data", "blob", "bytes")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_NO_WORD = 2048  # characters that no text has in one word


def media_bytes(part: Any) -> bytes:
    """What stands for a part in a piece of a prompt."""
    name = digest(part)
    return _MARK + (name * (SIZE // len(name)))[: SIZE - len(_MARK)]


def digest(value: Any) -> bytes:
    """A short text that is another one for every other value; of markers it knows nothing."""
    found = xxhash.xxh3_128()
    _feed(found, value)
    return found.hexdigest().encode()


def media_in(piece: bytes) -> int:
    """How many such parts a piece of a prompt holds."""
    return piece.count(_MARK) if piece.find(b"\xff") >= 0 else 0


def _feed(found: xxhash.xxh3_128, value: Any) -> None:
    if type(value) is str:
        found.update(b'"' + value.encode())
    elif type(value) is dict:
        members = cast(dict[str, Any], value)
        for key in members:
            if key not in _NO_CONTENT:
                found.update(b"{" + key.encode())
                _feed(found, members[key])
        found.update(b"}")
    elif type(value) is list:
        for one in cast(list[Any], value):
            _feed(found, one)
        found.update(b"]")
    else:
        found.update(repr(value).encode())
