"""Compressed bodies of requests: decoded within the limit that holds for plain ones."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Protocol, cast

import brotli  # pyright: ignore[reportMissingTypeStubs]

from weft.errors import Refused, UsageError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

ACCEPTED = "gzip, deflate, br, zstd"
"""What bodies may be compressed by, as the header Accept-Encoding has it."""


class _Brotli(Protocol):
    """What is used of brotli's decompressor, which has no types."""

    def process(self, data: bytes, output_buffer_limit: int) -> bytes: ...
    def is_finished(self) -> bool: ...
    def can_accept_more_data(self) -> bool: ...


_brotli = cast(Callable[[], _Brotli], brotli.Decompressor)  # pyright: ignore[reportUnknownMemberType]
_BrotliError = cast(type[Exception], brotli.error)  # pyright: ignore[reportUnknownMemberType]

_PLAIN = ("", "identity", "chunked")
_PART = 1 << 20  # bytes that are decoded at once
_MOST = 4  # encodings on top of each other
_MEMBERS = 100  # that gzip may have, or frames that zstd may: each costs a copy of all behind it


def encodings_of(header: str) -> list[str]:
    """The encodings of a body, in the order in which they are to be taken off.

    Args:
        header: Content-Encoding and Transfer-Encoding, several of them joined by commas. The
            framing of chunks has been taken off already.

    Raises:
        Refused: one is not known, or there are too many.
    """
    found = [name.strip().lower() for name in header.split(",")]
    found = [name for name in found if name not in _PLAIN]
    for name in found:
        if name not in _DECODERS:
            raise Refused(
                415,
                f"the encoding {name[:50]!r} of the body is not known; send the body as "
                f"{ACCEPTED}, or without an encoding",
            )
    if len(found) > _MOST:
        raise Refused(415, f"the body is encoded {len(found)} times; encode it once")
    return found[::-1]


def no_text(raw: bytes) -> str:
    """What a body is that is no text, and what to do; empty if it is nothing that is known."""
    if not raw:
        return "the body is empty; send a JSON object"
    for begins, name in _BEGINNINGS.items():
        if raw.startswith(begins):
            return f"the body is compressed by {name}; say so in the header content-encoding"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or raw[:4].strip(b"\0") in (b"{", b"["):
        return "the body is UTF-16 or UTF-32; send JSON as UTF-8"
    if b"\0" in raw[:_LOOKED_AT] or not _is_text(raw[:_LOOKED_AT]):
        return (
            "the body is no JSON, not even text; if it is compressed, say by what in the header "
            "content-encoding"
        )
    return ""


def _is_text(raw: bytes) -> bool:
    """Whether bytes are UTF-8, but for the last character, which may be cut."""
    return "\ufffd" not in raw.decode(errors="replace")[:-1]


_LOOKED_AT = 100  # bytes
_BEGINNINGS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def decoded(raw: bytes, encodings: list[str], most: int) -> bytes:
    """A body without its encodings.

    Args:
        raw: the body as it came.
        encodings: from `encodings_of`.
        most: bytes that the body may have, decoded.

    Raises:
        Refused: it decodes to more.
        UsageError: it is not what its encoding says.
    """
    for name in encodings:
        parts: list[bytes] = []
        size = 0
        try:
            for part in _DECODERS[name](raw):
                parts.append(part)
                size += len(part)
                if size > most:
                    raise Refused(
                        413,
                        f"the body decodes to more than {most} bytes, the limit of this service; "
                        "send less",
                    )
        except (zlib.error, _BrotliError, ZstdError, EOFError) as error:
            raise UsageError(
                f"the body is not whole {name}, as its headers say ({error}); send it anew"
            ) from None
        raw = b"".join(parts)
    return raw


_Member = Generator[bytes, None, bytes]
"""The parts of one member or frame; returns what stands behind it."""


def _all(member: Callable[[bytes], _Member], raw: bytes) -> Iterator[bytes]:
    """The parts of one member or several."""
    for _ in range(_MEMBERS):
        if not raw:
            return
        raw = yield from member(raw)
    if raw:
        raise UsageError(f"the body is compressed in more than {_MEMBERS} pieces; compress it once")


def _zlib(raw: bytes, bits: int) -> _Member:
    """One of zlib's formats."""
    decoder = zlib.decompressobj(bits)
    while not decoder.eof:
        part = decoder.decompress(raw, _PART)
        raw = decoder.unconsumed_tail
        if not (part or raw or decoder.eof):
            raise EOFError("it ends too early")
        yield part
    return decoder.unused_data


def _gzip(raw: bytes) -> Iterator[bytes]:
    def member(rest: bytes) -> _Member:
        rest = yield from _zlib(rest, 16 + zlib.MAX_WBITS)
        return rest.lstrip(b"\0")  # some fill up the last block

    return _all(member, raw)


def _deflate(raw: bytes) -> Iterator[bytes]:
    """What is called deflate: with zlib's frame, as it should be, or bare."""
    framed = len(raw) > 1 and raw[0] & 0x0F == 8 and int.from_bytes(raw[:2]) % 31 == 0
    bits = zlib.MAX_WBITS if framed else -zlib.MAX_WBITS
    return _all(lambda rest: _zlib(rest, bits), raw)


def _br(raw: bytes) -> Iterator[bytes]:
    decoder = _brotli()
    while not decoder.is_finished():
        part = decoder.process(raw, output_buffer_limit=_PART)
        raw = b""
        if not part and not decoder.is_finished() and decoder.can_accept_more_data():
            raise EOFError("it ends too early")
        yield part


def _zstd(raw: bytes) -> Iterator[bytes]:
    return _all(_frame, raw)


def _frame(raw: bytes) -> _Member:
    decoder = ZstdDecompressor()
    while not decoder.eof:
        part = decoder.decompress(raw, _PART)
        raw = b""
        if not part and not decoder.eof and decoder.needs_input:
            raise EOFError("it ends too early")
        yield part
    return decoder.unused_data


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _br,
    "zstd": _zstd,
}
