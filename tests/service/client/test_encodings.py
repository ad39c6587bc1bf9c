"""Compressed bodies: whatever they were, they are decoded, and never to more than is allowed."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import Refused, UsageError
from weft.service.client.encodings import decoded, encodings_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def bare(raw: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(raw) + packer.flush()


def members(raw: bytes) -> bytes:
    return gzip.compress(raw[: len(raw) // 2]) + gzip.compress(raw[len(raw) // 2 :])


def frames(raw: bytes) -> bytes:
    return zstd.compress(raw[: len(raw) // 2]) + zstd.compress(raw[len(raw) // 2 :])


ENCODERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", members),
    ("deflate", zlib.compress),
    ("deflate", bare),
    ("br", brotli.compress),
    ("zstd", zstd.compress),
    ("zstd", frames),
]


@pytest.mark.parametrize(("name", "encode"), ENCODERS)
@given(raw=st.binary(max_size=2000), times=st.integers(1, 200))
def test_what_was_encoded_comes_back(
    name: str, encode: Callable[[bytes], bytes], raw: bytes, times: int
) -> None:
    body = raw * times
    if name == "deflate" and encode is bare and zlib.compress(body)[:2] == bare(body)[:2]:
        return  # such a beginning can be either's
    assert decoded(encode(body), [name], len(body)) == body


@pytest.mark.parametrize(("name", "encode"), ENCODERS)
def test_limits_hold_for_what_comes_out(name: str, encode: Callable[[bytes], bytes]) -> None:
    body = b"a" * 3_000_000
    small = encode(body)
    assert len(small) < 100_000
    assert len(decoded(small, [name], len(body))) == len(body)
    with pytest.raises(Refused, match="decodes to more than 2999999 bytes") as refused:
        decoded(small, [name], len(body) - 1)
    assert refused.value.status == 413


@pytest.mark.parametrize(("name", "encode"), ENCODERS)
def test_what_is_cut_or_garbled_is_said(name: str, encode: Callable[[bytes], bytes]) -> None:
    whole = encode(bytes(range(256)) * 20)
    for broken in (whole[:-3], whole[: len(whole) // 3], b"{}" * 50, whole + b"{}" * 50):
        if broken.startswith(whole) and name in ("br",):
            continue  # what comes behind the end is not looked at
        with pytest.raises(UsageError, match=f"not whole {name}"):
            decoded(broken, [name], 1_000_000)


@pytest.mark.parametrize(("name", "member"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_body_of_many_small_members_is_refused_at_once(
    name: str, member: Callable[[bytes], bytes]
) -> None:
    assert decoded(member(b"a") * 100, [name], 100) == b"a" * 100
    with pytest.raises(UsageError, match="more than 100 pieces; compress it once"):
        decoded(member(b"") * 1_000_000, [name], 100)


def test_encodings_on_top_of_each_other() -> None:
    body = zstd.compress(gzip.compress(b"{}"))
    assert decoded(body, encodings_of("gzip, Zstd"), 100) == b"{}"
    assert encodings_of("identity") == encodings_of("") == []
    assert encodings_of("br, identity ,gzip") == ["gzip", "br"]
    with pytest.raises(Refused, match="4096 bytes"):
        decoded(zstd.compress(gzip.compress(b"a" * 5000)), ["zstd", "gzip"], 4096)


def test_unknown_encodings_are_415() -> None:
    for given_, said in (("compress", "'compress'"), ("gzip, bz2", "'bz2'"), ("gzip," * 5, "5")):
        with pytest.raises(Refused, match=said) as refused:
            encodings_of(given_)
        assert refused.value.status == 415


def test_what_fills_up_the_last_block_of_gzip_is_not_looked_at() -> None:
    raw = b"words " * 99
    packed = gzip.compress(raw)
    assert decoded(packed + bytes(99), ["gzip"], len(raw)) == raw
    assert decoded(packed + bytes(9) + packed, ["gzip"], 2 * len(raw)) == 2 * raw
    with pytest.raises(UsageError, match="not whole gzip"):
        decoded(packed + bytes(9) + b"x", ["gzip"], len(raw))
