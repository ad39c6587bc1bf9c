"""Documents in an order that shares prefixes: the longest, by trying all orders."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from weft.context import ordered


def shared(one: list[str], other: list[str]) -> int:
    """Characters of the documents that two orders begin with."""
    size = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        size += len(a)
    return size


DOCUMENTS = st.lists(st.sampled_from(["a", "bb", "ccc", "dd", "e"]), max_size=5)


@given(documents=DOCUMENTS, sent=st.lists(DOCUMENTS, max_size=4))
def test_no_order_shares_more(documents: list[str], sent: list[list[str]]) -> None:
    made = ordered(documents, sent)
    assert sorted(made) == sorted(documents)
    best = max(
        (shared(list(one), earlier) for one in permutations(documents) for earlier in sent),
        default=0,
    )
    assert max((shared(made, earlier) for earlier in sent), default=0) == best


@given(documents=DOCUMENTS, sent=st.lists(DOCUMENTS, max_size=3), data=st.data())
def test_the_order_in_which_they_come_says_nothing(
    documents: list[str], sent: list[list[str]], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(documents))
    assert ordered(other, sent) == ordered(documents, sent)
    made = ordered(documents, sent)
    assert ordered(documents, [*sent, made]) == made  # what was sent comes again as it was


def test_an_example() -> None:
    first = ordered(["bees", "ants", "moths"])
    assert ordered(["moths", "flies", "bees", "ants"], [first])[:3] == first
    # Of two that begin alike the longer text counts, and then the latest.
    assert ordered(["x", "yy"], [["x"], ["yy"]]) == ["yy", "x"]
    assert ordered(["x", "y"], [["x"], ["y"]])[0] == "y"
    # Where nothing is shared, what was sent often comes first.
    sent = [["q", "z"], ["q", "z"], ["q", "a"]]
    assert ordered(["a", "m", "z"], sent)[:2] == ["z", "a"]


def test_documents_may_be_objects() -> None:
    one, two = {"id": 1, "text": "bees"}, {"id": 2, "text": "ants"}
    made = ordered([one, two, one], [[two]], text=lambda document: document["text"])
    assert made == [two, one, one]
    assert made[1] is one
