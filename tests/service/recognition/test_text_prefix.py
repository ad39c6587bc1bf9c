from __future__ import annotations

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from weft.service.recognition.text_prefix import TextPrefix

PIECES = st.lists(st.binary(max_size=40), max_size=8)
CHUNK = st.integers(1, 16)


@given(PIECES, PIECES, CHUNK)
def test_a_prefix_grows_as_if_it_had_been_made_at_once(
    first: list[bytes], more: list[bytes], chunk: int
) -> None:
    short = TextPrefix.of(first, chunk)
    before = list(short.hashes)
    grown = short.extended(more)
    whole = TextPrefix.of([b"".join(first) + b"".join(more)], chunk)
    assert grown == whole
    assert grown.bytes == len(b"".join(first + more))
    assert len(grown.hashes) == grown.bytes // chunk
    assert list(short.hashes) == before == list(grown.hashes)[: len(before)]


@given(st.binary(max_size=80), st.binary(max_size=80), CHUNK)
def test_hashes_are_equal_as_far_as_chunks_are(left: bytes, right: bytes, chunk: int) -> None:
    same = 0
    while (same + 1) * chunk <= min(len(left), len(right)) and (
        left[: (same + 1) * chunk] == right[: (same + 1) * chunk]
    ):
        same += 1
    ours, theirs = (list(TextPrefix.of([one], chunk).hashes) for one in (left, right))
    assert ours[:same] == theirs[:same]
    assert all(a != b for a, b in zip(ours[same:], theirs[same:], strict=False))


def test_the_chain_is_the_hash_of_each_chunk_after_the_one_before() -> None:
    one = xxhash.xxh3_64_intdigest(b"abcd")
    two = xxhash.xxh3_64_intdigest(b"efgh", one)
    assert list(TextPrefix.of([b"abc", b"defghi"], 4).hashes) == [one, two]


def test_prompts_of_other_roots_share_nothing() -> None:
    text = [b"a" * 64]
    ours, theirs = TextPrefix.of(text, 8, root=1), TextPrefix.of(text, 8, root=2)
    assert not set(ours.hashes) & set(theirs.hashes)
    assert ours.extended(text) == TextPrefix.of(text * 2, 8, root=1)
