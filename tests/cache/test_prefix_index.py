from hypothesis import given
from hypothesis import strategies as st

from weft.cache.prefix import PrefixIndex, block_hashes

tokens = st.lists(st.integers(0, 3), max_size=40)


@given(tokens, tokens, st.integers(1, 8))
def test_hashes_agree_exactly_on_the_shared_whole_blocks(a, b, size):
    ha, hb = block_hashes(a, size), block_hashes(b, size)
    shared = 0
    while shared < min(len(a), len(b)) and a[shared] == b[shared]:
        shared += 1
    # The last token of each never counts.
    whole = min(shared // size, (len(a) - 1) // size if a else 0, (len(b) - 1) // size if b else 0)
    equal = [x == y for x, y in zip(ha, hb, strict=False)]
    assert all(equal[:whole])
    assert not any(equal[whole:])


@given(st.lists(tokens, max_size=20), st.integers(1, 6))
def test_the_index_is_bounded_and_evicts_like_lru_from_the_tail(sequences, capacity):
    index = PrefixIndex(capacity)
    model: list[int] = []  # least recent first
    for sequence in sequences:
        hashes = block_hashes(sequence, 4)
        index.insert(hashes)
        for block in reversed(hashes[:capacity]):
            if block in model:
                model.remove(block)
            model.append(block)
        del model[: max(0, len(model) - capacity)]
        assert len(index) == len(model) <= capacity
        assert index.match(hashes) == next(
            (i for i, block in enumerate(hashes) if block not in model), len(hashes)
        )
