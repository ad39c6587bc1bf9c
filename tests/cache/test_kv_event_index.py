import hashlib
from collections import Counter

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.cache.kv_events import (
    LATE,
    AllBlocksCleared,
    BlockRemoved,
    BlockStored,
    ReportedIndex,
    decode,
)
from weft.cache.vllm_hashes import event_hashes, vllm_block_hashes
from weft.errors import EngineError


def stored(tokens, size=2, known=0, **more):
    """The event of blocks from number `known` on."""
    hashes = event_hashes(vllm_block_hashes(tokens, size))
    parent = hashes[known - 1] if known else None
    return BlockStored([*hashes[known:]], parent, list(tokens[known * size :]), size, **more)


def named(tokens, size=2):
    return event_hashes(vllm_block_hashes(tokens, size))


def test_hashes_are_those_of_vllm():
    """As computed by vLLM 0.32's own `hash_block_tokens` with `sha256_cbor`."""
    plain = vllm_block_hashes(range(9), 4)
    assert [block.hex() for block in plain] == [
        "c49ab11fb576db6f376aef58c24f728a0ba1807e8cac5f940f1a5c4c20741898",
        "9d0a7c928c548f9aeea31ae98471cf515045a206851732ac14cb3083c18d40f9",
    ]
    assert event_hashes(plain) == [0x0F1A5C4C20741898, 0x14CB3083C18D40F9]
    salted = vllm_block_hashes(range(9), 4, salt="abc")
    assert salted[0].hex() == "ec4bbdfe0b23724d3fdcb6f8af50faf23b2f37f2780ca0c508a2328aaad4845b"
    follows = cbor2.dumps((salted[0], (4, 5, 6, 7), None), canonical=True)
    assert salted[1] == hashlib.sha256(follows).digest()


@given(st.lists(st.integers(0, 200_000), max_size=30), st.integers(1, 8), st.data())
def test_hashes_go_on_from_known_ones(tokens, size, data):
    salt = data.draw(st.none() | st.just("tenant"))
    hashes = vllm_block_hashes(tokens, size, salt)
    assert len(hashes) == len(tokens) // size
    known = hashes[: data.draw(st.integers(0, len(hashes)))]
    assert vllm_block_hashes(tokens, size, salt, known) == hashes


def test_events_of_vllm_are_understood():
    batch = [
        1785.25,
        [
            {
                "type": "BlockStored",
                "block_hashes": [7, b"\x00" * 24 + (8).to_bytes(8, "big")],
                "parent_block_hash": None,
                "token_ids": [1, 2, 3, 4],
                "block_size": 2,
                "lora_id": None,
                "medium": "GPU",
                "lora_name": None,
                "extra_keys": [None, None],
                "group_idx": 0,
                "kv_cache_spec_kind": "full_attention",
            },
            {"type": "BlockRemoved", "block_hashes": [8], "medium": "GPU", "group_idx": 0},
            {"type": "AllBlocksCleared"},
        ],
        0,
    ]
    one, two, three = decode(msgspec.msgpack.encode(batch))
    assert isinstance(one, BlockStored)
    assert (one.block_size, one.token_ids, one.group_idx) == (2, [1, 2, 3, 4], 0)
    assert two == BlockRemoved([8], "GPU", 0)
    assert three == AllBlocksCleared()


@pytest.mark.parametrize("payload", [b"", b"\xc1", msgspec.msgpack.encode([0.0, [{"type": "X"}]])])
def test_events_of_another_form_are_refused(payload):
    with pytest.raises(EngineError, match="KV events in a form"):
        decode(payload)


def test_a_copy_is_removed_by_itself():
    index = ReportedIndex()
    tokens = list(range(6))
    a, b, c = named(tokens)
    assert index.apply(0, [stored(tokens), stored(tokens, known=2)])
    assert index.apply(1, [BlockRemoved([c])])
    assert (index.match([a, b, c]), len(index)) == (3, 3)
    assert index.apply(2, [BlockRemoved([c])])
    assert index.match([a, b, c]) == 2
    assert index.apply(3, [BlockRemoved([a])])
    assert (index.match([a, b, c]), len(index)) == (0, 1)
    assert index.apply(4, [AllBlocksCleared(), stored(tokens[:2])])
    assert (index.match([a, b, c]), len(index)) == (1, 1)


def test_a_missing_batch_is_told_and_one_that_comes_twice_counts_once():
    index = ReportedIndex()
    tokens = list(range(4))
    assert index.apply(0, [stored(tokens[:2])])
    assert not index.apply(2, [BlockRemoved([*named(tokens)])])
    assert (index.next, index.match(named(tokens))) == (1, 1)
    for _ in range(2):
        assert index.apply(1, [stored(tokens, known=1)])
    assert (index.next, index.match(named(tokens))) == (2, 2)
    assert index.apply(2, [BlockRemoved([*named(tokens)])])
    assert (index.next, len(index)) == (3, 0)


def test_after_a_restart_numbers_begin_anew():
    index = ReportedIndex()
    tokens = list(range(4))
    index.apply(0, [stored(tokens)])
    index.restart()
    assert (index.next, len(index)) == (0, 0)
    assert index.apply(0, [stored(tokens[:2])])
    assert index.match(named(tokens)) == 1


def test_other_memory_and_other_groups_do_not_count():
    index = ReportedIndex()
    tokens = list(range(4))
    elsewhere = [stored(tokens, medium="CPU"), stored(tokens, group_idx=1)]
    assert index.apply(0, [*elsewhere, stored(tokens, medium="GPU", group_idx=0)])
    assert index.apply(1, [BlockRemoved([*named(tokens)], "GPU", 0)])
    assert index.match(named(tokens)) == 0


def test_what_a_call_left_is_held_until_events_tell_of_it():
    index = ReportedIndex()
    tokens = list(range(8))
    hashes = named(tokens)
    index.apply(0, [stored(tokens[:4])])
    index.expect(hashes[:2])  # nothing new
    index.expect(hashes)
    other = named([*range(6), 9, 9, 9, 9])
    assert [index.match(chain) for chain in (hashes, hashes[:3], other, [])] == [4, 3, 3, 0]
    # As soon as they come, they alone count.
    index.apply(1, [stored(tokens, known=2)])
    index.apply(2, [BlockRemoved([*hashes[2:]])])
    assert index.match(hashes) == 2
    index.expect(hashes)
    index.restart()
    assert index.match(hashes) == 0


def test_what_never_comes_is_not_expected_for_ever():
    index = ReportedIndex()
    hashes = named(range(8))
    index.expect(hashes)
    for number in range(LATE):
        assert index.match(hashes) == 4
        index.apply(number, [])
    assert index.match(hashes) == 0


def test_hashes_that_cannot_be_computed_are_refused_at_once():
    wrong = BlockStored([1, 2], None, [0, 1, 2, 3], 2)
    with pytest.raises(EngineError, match="--prefix-caching-hash-algo sha256_cbor"):
        ReportedIndex().apply(0, [wrong])
    # What is salted can't be checked against a chain without a salt.
    salted = BlockStored([1, 2], None, [0, 1, 2, 3], 2, extra_keys=[["secret"], None])
    assert ReportedIndex().apply(0, [salted])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
def test_references_are_those_of_a_counter(changes):
    tokens = list(range(6))
    hashes = named(tokens, 1)
    index, model = ReportedIndex(), Counter()
    for number, (store, which) in enumerate(changes):
        if store:
            event = stored(tokens[: which + 1], 1, known=which)
            model[hashes[which]] += 1
        else:
            event = BlockRemoved([hashes[which]])
            model[hashes[which]] = max(0, model[hashes[which]] - 1)
        assert index.apply(number, [event])
        held = [model[block] > 0 for block in hashes]
        assert len(index) == sum(held)
        assert index.match(hashes) == [*held, False].index(False)
