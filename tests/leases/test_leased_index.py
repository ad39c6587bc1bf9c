"""A prefix index with leases against vLLM's own pool of blocks with `HeldLast`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.cache.prefix import Hold
from weft.leases.book import LeaseBook
from weft.leases.directive import Directive
from weft.leases.leased_index import LeasedIndex

COUNT = 40
NONE = Directive()


class Pool:
    """vLLM's blocks with what is in them, and the connector's calls in their order."""

    def __init__(self, count: int) -> None:
        block_pool = pytest.importorskip("vllm.v1.core.block_pool")
        free_list = pytest.importorskip("weft.leases.free_list")
        self.pool = block_pool.BlockPool(count + 1, True, 16)
        self.now = 0.0
        self.book = LeaseBook(lambda: self.now)
        self.list = free_list.HeldLast(self.pool.free_block_queue, self.pool.blocks, self.book)
        self.pool.free_block_queue = self.list
        self.content: dict[int, int] = {}  # block by hash
        self.within: dict[int, int] = {}

    def come(self, keep: Directive) -> None:
        self.list.release(self.book.sweep())
        for id in keep.release:
            self.list.release(self.book.end(id, "released"))
        for id in keep.forget:
            self.list.forget(self.book.end(id, "forgotten"))

    def start(self, keep: Directive, hashes: list[int]) -> tuple[int, list[int]]:
        """Blocks that were there, and all that the request has."""
        found: list[int] = []
        for one in hashes:
            if one not in self.content:
                break
            found.append(self.content[one])
        self.pool.touch([self.pool.blocks[id] for id in found])
        new = [block.block_id for block in self.pool.get_new_blocks(len(hashes) - len(found))]
        for id, one in zip(new, hashes[len(found) :], strict=True):
            if id in self.within:
                self.content.pop(self.within.pop(id), None)
            self.book.gone([id])
            self.pool.blocks[id]._block_hash = str(one).encode()
            self.within[id] = one
            if one not in self.content:
                self.content[one] = id
        blocks = [*found, *new]
        self.list.forget(self.book.supersede(keep, set(blocks)))
        return len(found), blocks

    def finish(self, keep: Directive, blocks: list[int], *, aborted: bool) -> None:
        if aborted and keep.lost:
            self.list.forget(blocks)
        elif keep.lease:
            keep = replace(keep, supersedes=keep.supersedes and not aborted)
            self.list.forget(self.book.grant(keep, blocks))
        self.pool.free_blocks(self.pool.blocks[id] for id in reversed(blocks))


class Both:
    """A course of requests on the pool and on the index, which must agree at every step."""

    def __init__(self, count: int = COUNT) -> None:
        self.pool = Pool(count)
        self.index = LeasedIndex(count, lambda: self.pool.now)
        self.running: dict[str, tuple[Directive, list[int], Hold]] = {}

    def start(self, name: str, hashes: list[int], keep: Directive = NONE) -> int:
        """Begin a request; how many of its blocks were there."""
        self.pool.now += 1
        self.pool.come(keep)
        self.index.come(keep)
        matched = self.index.match(hashes)
        found, blocks = self.pool.start(keep, hashes)
        hold = self.index.open(hashes)
        assert self.index.grow(hold, hashes, len(hashes))
        self.index.supersede(keep, hold)
        self.running[name] = keep, blocks, hold
        assert matched == found
        self.check()
        return found

    def finish(self, name: str, *, aborted: bool = False) -> None:
        keep, blocks, hold = self.running.pop(name)
        self.pool.finish(keep, blocks, aborted=aborted)
        if aborted and keep.lost:
            self.index.lose(hold)
        elif keep.lease:
            self.index.grant(replace(keep, supersedes=keep.supersedes and not aborted), hold)
        self.index.close(hold)
        self.check()

    def ask(self, hashes: list[int], keep: Directive = NONE) -> int:
        found = self.start("one", hashes, keep)
        self.finish("one")
        return found

    def check(self) -> None:
        assert self.index.held == self.pool.list.held
        assert self.index.free == self.pool.pool.get_num_free_blocks()
        assert self.index.leased == self.pool.book.held
        mine = {cause: n for cause, n in self.index.given_up.items() if n}
        assert mine == {cause: n for cause, n in self.pool.book.given_up.items() if n}


def chain(name: int, blocks: int, *before: int) -> list[int]:
    return [*before, *(name * 1000 + i for i in range(blocks))]


def keep(lease: str, **more: Any) -> Directive:
    return Directive(lease, **{"seconds": 900.0, **more})


def test_the_order_of_forgetting_is_that_of_the_connector() -> None:
    both = Both()
    system = chain(1, 3)
    a, b, plain = chain(2, 5, *system), chain(3, 5, *system), chain(4, 6)
    assert both.ask(a, keep("a", next_use=500.0)) == 0
    assert both.ask(b, keep("b", next_use=5.0)) == 3
    both.ask(plain)
    both.ask(chain(5, 27))  # all that is not held
    assert both.ask(plain) == 0
    assert both.ask(b, keep("b", next_use=5.0)) == 8
    both.ask(chain(6, 30))  # three more than are not held: the end of what is used last
    assert both.ask(a) == 5


def test_what_is_over_superseded_or_lost_goes_first() -> None:
    both = Both()
    first, second = chain(2, 6, *chain(1, 2)), chain(3, 4, *chain(1, 2))
    both.ask(chain(8, COUNT))  # vLLM takes worthless blocks before ones that nothing was ever in
    both.ask(chain(9, 8))
    both.ask(first, keep("a", turn="1", supersedes=True))
    assert both.ask(second, keep("a", turn="2", supersedes=True)) == 2
    assert both.index.given_up["superseded"] == 6
    both.start("branch", chain(4, 6, *chain(1, 2)), keep("a", turn="3", lost=True))
    both.finish("branch", aborted=True)
    both.ask(chain(5, 10), keep("b"))
    both.ask(chain(6, 1), Directive(forget=("b",)))
    both.ask(chain(7, 32 - 14))
    assert both.ask(chain(9, 8)) == 8  # the oldest, and nobody's
    assert both.ask(second) == 6
    assert both.ask(first) == 2


def test_an_abort_supersedes_nothing_that_the_request_did_not() -> None:
    both = Both()
    both.ask(chain(1, 6), keep("a", turn="1", supersedes=True))
    both.start("x", chain(2, 2), keep("a", turn="1", supersedes=True))
    both.finish("x", aborted=True)
    assert both.index.leased == 8


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "start", "finish", "release", "wait"]),
        st.sampled_from("abc"),
        st.lists(st.integers(0, 2), min_size=1, max_size=4),
        st.integers(1, 5),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_any_course_of_leases_is_the_same_in_both(done: list) -> None:
    """But for what is forgotten first: of that the index forgets what goes on from it, too."""
    both = Both()
    for what, name, path, number in done:
        hashes = [hash((*path[: i + 1], k)) for i in range(len(path)) for k in (0, 1)]
        wants = keep(name, next_use=float(number * 10 + ord(name)), seconds=30.0 * number)
        match what:
            case "ask" if len(hashes) <= both.index.free:
                both.ask(hashes, wants if number > 2 else Directive())
            case "start" if name not in both.running and len(hashes) <= both.index.free:
                both.start(name, hashes, wants)
            case "finish" if name in both.running:
                both.finish(name, aborted=number == 1)
            case "release":
                both.ask([hash(number)], Directive(release=(name,))) if both.index.free else None
            case "wait":
                both.pool.now += number * 10


def used(index: LeasedIndex, hashes: list[int], wants: Directive = NONE) -> int:
    """Have a request run; how many of its blocks were there."""
    matched, hold = index.match(hashes), index.open(hashes)
    assert index.grow(hold, hashes, len(hashes))
    if wants.lease:
        index.grant(wants, hold)
    index.close(hold)
    return matched


def test_what_the_engine_holds_for_others_is_taken_until_there_is_need() -> None:
    index = LeasedIndex(40, lambda: 0.0)
    used(index, chain(1, 10), keep("a"))
    used(index, chain(2, 10))
    index.note_told(leased=25, needed=0)  # 15 for others
    used(index, chain(3, 10))
    assert index.match(chain(2, 10)) == 5
    assert index.match(chain(1, 10)) == 10
    used(index, chain(4, 30))  # which gives up what others hold before what is known here
    assert index.match(chain(1, 10)) == 10


def test_what_the_engine_gave_up_is_gone() -> None:
    index = LeasedIndex(40, lambda: 0.0)
    used(index, chain(1, 10), keep("a", next_use=9.0))
    used(index, chain(2, 10), keep("b", next_use=1.0))
    index.note_told(leased=20, needed=7)  # before anything of it was known
    index.note_told(leased=14, needed=13)
    assert index.match(chain(1, 10)) == 4
    assert index.match(chain(2, 10)) == 10
    index.note_told(leased=14, needed=13)
    assert index.leased == 14
