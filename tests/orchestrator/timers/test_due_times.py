"""DueTimes of programs."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from weft.orchestrator.programs.program import Program
from weft.orchestrator.timers.due_times import DueTimes


class Clock:
    """A clock that is set by hand, and calls back."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def at(self, due: float, call: Callable[[], None]) -> None:
        self.due.append((due, call))

    def run_to(self, end: float) -> None:
        while self.due and min(self.due, key=lambda e: e[0])[0] <= end:
            entry = min(self.due, key=lambda e: e[0])
            self.due.remove(entry)
            self.now = max(self.now, entry[0])
            entry[1]()
        self.now = end


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=200))
def test_each_rings_at_its_date_if_it_stands_and_in_order(given: list[tuple[int, bool]]) -> None:
    clock, rung = Clock(), list[tuple[float, str]]()
    dates = DueTimes(
        lambda: clock.now,
        clock.at,
        lambda program, _: not program.ended,
        lambda program: rung.append((clock.now, program.id)),
    )
    for number, (due, stands) in enumerate(given):
        program = Program(str(number))
        dates.set(program, float(due))
        program.ended = not stands
    clock.run_to(100.0)
    wanted = [(float(due), str(n)) for n, (due, stands) in enumerate(given) if stands]
    assert rung == sorted(wanted, key=lambda e: (e[0], int(e[1])))
    assert not dates


def test_what_no_longer_stands_takes_no_memory() -> None:
    clock = Clock()
    dates = DueTimes(lambda: clock.now, clock.at, lambda p, _: not p.ended, lambda _: None)
    lasting = [Program(f"lasting {n}") for n in range(100)]
    for program in lasting:
        dates.set(program, 3600.0)
    for number in range(10_000):
        program = Program(str(number))
        dates.set(program, 3600.0)
        program.ended = True
        assert len(dates) <= 2 * len(lasting) + 65
    assert len(clock.due) == 1
