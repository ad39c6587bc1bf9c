"""Branch and bound, and a greedy beginning, for the choice of an offer for each operator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_DEEP = 200  # operators; a search that goes deeper than Python's stack is not begun
_ROUNDED = 1 - 1e-12  # sums in another order may differ by so much
Choice = list[int]
"""Of each operator, which of its offers."""


@dataclass(slots=True)
class AssignmentProblem:
    """Operators, in an order in which they can run, and their offers.

    Attributes:
        names: of operators.
        models: of each operator, the names of its offers.
        before: of each operator, the places of those that it needs.
        seconds: of each operator, what its offers take.
        dollars: the same.
        tail: of each operator, the seconds from its end to the end of all, at the quickest.
    """

    names: list[str]
    models: list[list[str]]
    before: list[list[int]]
    seconds: list[list[float]]
    dollars: list[list[float]]
    tail: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.tail = [0.0] * len(self.names)
        for at in reversed(range(len(self.names))):
            for one in self.before[at]:
                self.tail[one] = max(self.tail[one], min(self.seconds[at]) + self.tail[at])

    def start(self, ends: Sequence[float], at: int) -> float:
        """When an operator can begin, by the ends of those before it."""
        return max((ends[one] for one in self.before[at]), default=0.0)

    def ends(self, chosen: Choice) -> list[float]:
        """When each operator ends."""
        ends: list[float] = []
        for at, one in enumerate(chosen):
            ends.append(self.start(ends, at) + self.seconds[at][one])
        return ends

    def measure(self, chosen: Choice) -> tuple[float, float]:
        """Seconds along the critical path, and dollars."""
        cost = math.fsum(self.dollars[at][one] for at, one in enumerate(chosen))
        return max(self.ends(chosen), default=0.0), cost

    def cheapest(self) -> tuple[float, float]:
        """Seconds and dollars, if each operator is as cheap as can be."""
        return self.measure(self.each_cheapest())

    def quickest(self) -> tuple[float, float]:
        """The same, if each is as quick as can be."""
        return self.measure([_least(own) for own in self.seconds])

    def each_cheapest(self) -> Choice:
        """The cheapest offer for each operator; of equally cheap ones the quickest."""
        return [
            min(range(len(s)), key=lambda i: (d[i], s[i]))
            for s, d in zip(self.seconds, self.dollars, strict=True)
        ]

    def critical(self, chosen: Choice) -> Iterator[int]:
        """The operators of a critical path, the last first."""
        ends = self.ends(chosen)
        at = max(range(len(ends)), key=lambda i: ends[i], default=-1)
        while at >= 0:
            yield at
            at = max(self.before[at], key=lambda i: ends[i], default=-1)


def _least(numbers: Sequence[float]) -> int:
    return min(range(len(numbers)), key=lambda i: numbers[i])


def value(
    problem: AssignmentProblem, chosen: Choice, deadline: float | None, dollars: float | None
) -> tuple[float, float] | None:
    """How good a choice is, the less the better; None if it does not keep a limit."""
    seconds, cost = problem.measure(chosen)
    if (deadline is not None and seconds > deadline) or (dollars is not None and cost > dollars):
        return None
    return (seconds, cost) if deadline is None and dollars is not None else (cost, seconds)


def greedy(problem: AssignmentProblem, deadline: float | None, dollars: float | None) -> Choice:
    """From the cheapest choice on, what saves most seconds a dollar on the critical path.

    Until it ends in time, or until no more can be paid. Then what was paid in vain is saved.
    """
    chosen = problem.each_cheapest()
    if deadline is None and dollars is None:
        return chosen
    best, found = list(chosen), value(problem, chosen, deadline, dollars)
    while deadline is None or problem.measure(chosen)[0] > deadline:
        cost = problem.measure(chosen)[1]
        steps: list[tuple[float, int, int]] = []
        for at in problem.critical(chosen):
            seconds, price = problem.seconds[at], problem.dollars[at]
            for one in range(len(seconds)):
                saved = seconds[chosen[at]] - seconds[one]
                more = price[one] - price[chosen[at]]
                if saved > 0 and (deadline is not None or cost + more <= (dollars or 0.0)):
                    steps.append((saved / more if more > 0 else math.inf, at, one))
        if not steps:
            break
        _, at, one = max(steps, key=lambda step: step[0])
        chosen[at] = one
        now = value(problem, chosen, deadline, dollars)
        if now is not None and (found is None or now < found):
            best, found = list(chosen), now
    for at in range(len(best)):
        for one in range(len(problem.seconds[at])):
            other = [*best[:at], one, *best[at + 1 :]]
            now = value(problem, other, deadline, dollars)
            if now is not None and (found is None or now < found):
                best, found = other, now
    return best


def best_of(
    problem: AssignmentProblem,
    first: Choice,
    deadline: float | None,
    dollars: float | None,
    most: int,
) -> tuple[Choice | None, bool]:
    """The best choice, by branch and bound; and whether it is known to be.

    Args:
        problem: what is to be chosen.
        first: a choice to begin with.
        deadline: seconds.
        dollars: a limit.
        most: steps after which the best so far is taken.
    """
    found = value(problem, first, deadline, dollars)
    best = first if found is not None else None
    count = len(problem.names)
    if count > _DEEP:
        return best, False
    by_time = deadline is None and dollars is not None
    offers = [_undominated(problem, at, by_time) for at in range(count)]
    rest = [0.0] * (count + 1)  # dollars at least, from an operator on
    for at in reversed(range(count)):
        rest[at] = rest[at + 1] + min(problem.dollars[at])
    left, chosen, ends = most, [0] * count, [0.0] * count

    def search(at: int, cost: float, path: float) -> bool:
        """Try all choices from an operator on; whether there was time for it."""
        nonlocal best, found, left
        if at == count:
            now = value(problem, chosen, deadline, dollars)
            if now is not None and (found is None or now < found):
                best, found = list(chosen), now
            return True
        start = problem.start(ends, at)
        for one in offers[at]:
            if left <= 0:
                return False
            left -= 1
            ends[at] = start + problem.seconds[at][one]
            # What follows needs at least so much.
            seconds = max(path, ends[at] + problem.tail[at])
            price = cost + problem.dollars[at][one]
            if _hopeless(seconds, price + rest[at + 1]):
                continue
            chosen[at] = one
            if not search(at + 1, price, seconds):
                return False
        return True

    def _hopeless(seconds: float, price: float) -> bool:
        if deadline is not None and seconds * _ROUNDED > deadline:
            return True
        if dollars is not None and price * _ROUNDED > dollars:
            return True
        bound = (seconds, price) if by_time else (price, seconds)
        return found is not None and bound >= found

    whole = search(0, 0.0, 0.0)
    return best, whole


def _undominated(problem: AssignmentProblem, at: int, by_time: bool) -> list[int]:
    """The offers for an operator than which no other is both cheaper and quicker."""
    price, time = problem.dollars[at], problem.seconds[at]
    pairs = sorted((price[one], time[one], one) for one in range(len(time)))
    kept: list[int] = []
    quickest = math.inf
    for _, seconds, one in pairs:
        if seconds < quickest:
            kept.append(one)
            quickest = seconds
    return kept[::-1] if by_time else kept
