"""Which blocks are held, and which are given up first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weft.leases.book import LeaseBook
from weft.leases.directive import FIELD, Directive, read_directive


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def book(share: int | None = None) -> tuple[LeaseBook, Clock]:
    clock = Clock()
    return LeaseBook(clock, share), clock


def wants(lease: str, next_use: float = 60.0, **more: object) -> Directive:
    return Directive(lease, next_use=next_use, **more)  # pyright: ignore[reportArgumentType]


def test_the_farthest_next_use_is_given_up_first_and_its_end_before_its_beginning() -> None:
    leases, _ = book()
    leases.grant(wants("soon", 5), [1, 2, 3])
    leases.grant(wants("late", 50), [4, 5, 6])
    assert leases.give_up(2, {1, 2, 3, 4, 5, 6}) == [6, 5]
    assert leases.give_up(2, {1, 2, 3, 4}) == [4, 3]
    assert list(leases.leases) == ["soon"]
    assert leases.given_up == {"need": 4}


def test_an_overdue_use_moves_away() -> None:
    leases, clock = book()
    leases.grant(wants("overdue", 10), [1])
    leases.grant(wants("ahead", 50), [2])
    assert leases.give_up(1, {1, 2}) == [2]
    leases.grant(wants("ahead", 50), [2])
    clock.now += 45  # the one is 35 s late, the other is due in 5 s
    assert leases.give_up(1, {1, 2}) == [1]


def test_what_is_in_use_is_not_given_up() -> None:
    leases, _ = book()
    leases.grant(wants("a"), [1, 2, 3])
    assert leases.give_up(9, {1}) == [1]
    assert leases.leases["a"].blocks == [2, 3]


def test_a_shared_beginning_is_held_until_the_last_lease_ends() -> None:
    leases, _ = book()
    leases.grant(wants("a"), [1, 2, 3])
    leases.grant(wants("b"), [1, 2, 4])
    assert leases.end("a", "released") == [3]
    assert leases.holds(1)
    assert leases.end("b", "released") == [4, 2, 1]
    assert leases.held == 0


def test_a_new_turn_supersedes_and_the_same_turn_adds() -> None:
    leases, _ = book()
    leases.grant(wants("a", turn="1", supersedes=True), [1, 2, 3])
    leases.grant(wants("a", turn="1", supersedes=True), [1, 4])
    assert leases.leases["a"].blocks == [1, 2, 3, 4]
    assert leases.supersede(wants("a", turn="1", supersedes=True), {1}) == []
    assert sorted(leases.supersede(wants("a", turn="2", supersedes=True), {1, 9})) == [2, 3, 4]
    assert leases.grant(wants("a", turn="2", supersedes=True), [1, 9]) == []
    assert leases.leases["a"].blocks == [1, 9]


def test_branches_add_to_what_their_program_keeps() -> None:
    leases, _ = book()
    leases.grant(wants("a", turn="1"), [1, 2])
    assert leases.grant(wants("a", turn="2"), [1, 3]) == []
    assert leases.leases["a"].blocks == [1, 2, 3]


def test_leases_whose_ids_begin_alike_end_together() -> None:
    leases, _ = book()
    for name, block in (("x:a", 1), ("x:b", 2), ("y:a", 3)):
        leases.grant(wants(name), [block])
    assert sorted(leases.end("x:*", "released")) == [1, 2]
    assert list(leases.leases) == ["y:a"]


def test_leases_end_with_their_time() -> None:
    leases, clock = book()
    leases.grant(wants("a", seconds=10.0), [1, 2])
    leases.grant(wants("b", seconds=99.0), [1])
    clock.now += 10
    assert leases.sweep() == [2]
    assert list(leases.leases) == ["b"]


def test_a_tenant_beyond_its_share_gives_first() -> None:
    leases, _ = book(share=2)
    leases.grant(wants("small", 500, tenant="x"), [1, 2])
    leases.grant(wants("large", 1, tenant="y"), [3, 4, 5])
    assert leases.give_up(1, {1, 2, 3, 4, 5}) == [5]


def test_a_directive_says_what_it_can_and_never_fails() -> None:
    plain = Directive("a", True, "t", 5.0, 3.0, "who", lost=True, release=("x",), forget=("y",))
    assert read_directive(plain.json()) == plain
    assert read_directive(Directive().json()) == Directive()
    assert read_directive(None) is None
    assert read_directive({"do_remote_prefill": True}) is None
    odd = {FIELD: {"lease": 3, "seconds": "x", "next_use": float("nan"), "forget": ["a", 4, None]}}
    assert read_directive(odd) == Directive(forget=("a",))
    assert read_directive({FIELD: {"seconds": 1e9}}) == Directive(seconds=3600.0, next_use=3600.0)
    assert read_directive({FIELD: {"seconds": -5}}) == Directive(seconds=0.0, next_use=0.0)


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
fields = st.sampled_from(list(Directive.__slots__))


@given(json | st.fixed_dictionaries({FIELD: st.dictionaries(fields, json)}))
def test_any_field_is_read(params: object) -> None:
    read = read_directive(params)
    assert read is None or 0.0 <= read.seconds <= 3600.0


steps = st.lists(
    st.tuples(
        st.sampled_from(["grant", "end", "give", "sweep", "gone", "supersede"]),
        st.sampled_from("abc"),
        st.lists(st.integers(0, 9), max_size=5, unique=True),
        st.integers(0, 20),
    ),
    max_size=30,
)


@given(steps)
def test_a_block_is_held_as_long_as_a_lease_has_it(done: list) -> None:
    leases, clock = book()
    for what, name, blocks, number in done:
        clock.now += number / 4
        before = {b for b in range(10) if leases.holds(b)}
        match what:
            case "grant":
                freed = leases.grant(
                    wants(name, number, seconds=5.0, turn=str(number % 3), supersedes=number > 9),
                    blocks,
                )
            case "end":
                freed = leases.end(name, "released")
            case "give":
                freed = leases.give_up(number, set(blocks))
                assert set(freed) <= set(blocks)
            case "sweep":
                freed = leases.sweep()
            case "gone":
                leases.gone(blocks)
                freed = [b for b in blocks if b in before]
            case _:
                freed = leases.supersede(
                    wants(name, turn=str(number % 3), supersedes=True), set(blocks)
                )
        held = {b for b in range(10) if leases.holds(b)}
        assert held == {b for lease in leases.leases.values() for b in lease.blocks}
        assert len(freed) == len(set(freed))
        assert set(freed) == before - held or what == "grant"
        assert not set(freed) & held
