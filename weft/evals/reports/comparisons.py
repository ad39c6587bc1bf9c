"""All that one report compares, judged together: the more is compared, the surer each must be."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal

from weft.evals.records import Row
from weft.evals.results import Result, aligned
from weft.evals.statistics import Difference, holm, paired
from weft.evals.statistics.differences import LEVEL

Verdict = Literal["yes", "no", "can't tell"]
MARGIN = 0.02
"""A difference in accuracy that is worth seeing: two points."""
ALIKE = 0.1
"""The share by which the tokens of two results may differ that are said to be equal."""


def accuracy_difference(first: Result, second: Result) -> Difference:
    """In right answers a problem, on the problems that both have."""
    return _difference(first, second, lambda row: float(bool(row.correct)))


def token_difference(first: Result, second: Result) -> Difference:
    """In computed tokens a problem, on the problems that both have."""
    return _difference(first, second, lambda row: float(row.usage.computed))


def _difference(first: Result, second: Result, figure: Callable[[Row], float]) -> Difference:
    own, other, groups = list[float](), list[float](), list[str]()
    for a, b in aligned(first, second):
        own.append(figure(a))
        other.append(figure(b))
        groups.append(a.group)
    return paired(own, other, groups)


def mix_difference(first: Result, cheaper: Result, dearer: Result) -> Difference:
    """In right answers, against the two results mixed so that they spend the same tokens."""
    weight = (first.computed - cheaper.computed) / (dearer.computed - cheaper.computed)
    low = {a.key: float(bool(b.correct)) for a, b in aligned(first, cheaper)}
    high = {a.key: float(bool(b.correct)) for a, b in aligned(first, dearer)}
    own, other, groups = list[float](), list[float](), list[str]()
    for r in first.rows:
        if r.key in low and r.key in high:
            own.append(float(bool(r.correct)))
            other.append((1 - weight) * low[r.key] + weight * high[r.key])
            groups.append(r.group)
    return paired(own, other, groups)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A difference that is one of several in a report.

    Attributes:
        first: a result.
        second: what it is compared with.
        difference: the first less the second.
        family: all that the report compares.
        key: under which the family knows the question whether there is a difference.
        margin: and the question whether the first is less than the margin worse.
    """

    first: Result
    second: Result
    difference: Difference
    family: Comparisons
    key: Hashable
    margin: Hashable = None

    @property
    def p(self) -> float:
        """The p-value of there being no difference, corrected for all comparisons."""
        return self.family.corrected(self.key)

    @property
    def verdict(self) -> Verdict:
        """Whether the first has more."""
        if self.p > LEVEL:
            return "can't tell"
        return "yes" if self.difference.mean > 0 else "no"

    @property
    def reaches(self) -> bool:
        """Whether the first is surely not as much as the margin below the second."""
        return self.family.corrected(self.margin) <= LEVEL

    @property
    def interval(self) -> tuple[float, float]:
        """Where the difference lies; all intervals of a report hold together in 95 of 100."""
        return self.difference.interval(1 - self.family.level)

    @property
    def problems(self) -> float:
        """With how many problems, alike these, the margin would be seen four times in five."""
        return self.difference.needed(MARGIN, self.family.level) * self.common

    @property
    def common(self) -> int:
        """How many problems both have."""
        return len({id for id, _ in set(self.first.keys) & set(self.second.keys)})

    @property
    def points(self) -> str:
        """The difference of accuracies in points, with its interval."""
        low, high = self.interval
        return f"{100 * self.difference.mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"

    @property
    def tokens(self) -> str:
        """The difference of tokens a problem, with its interval."""
        low, high = self.interval
        mean = f"{self.difference.mean:+.0f}"
        return f"{mean} [{low:+.0f}, {high:+.0f}]" if math.isfinite(high - low) else mean

    def cells(self) -> list[str]:
        """For a table of accuracies against one strategy's."""
        p = "< 0.001" if self.p < 0.001 else f"{self.p:.3f}"
        return [self.first.strategy, str(self.difference.n), self.points, p, rounded(self.problems)]


TO_SEE = f"to see {100 * MARGIN:g} points"
COLUMNS = ("strategy", "pairs", "difference, points", "p", TO_SEE)
"""The heads of such a table."""


class Comparisons:
    """The differences that a report asks for, in whatever words.

    Each is asked for before the first is judged, the ones among which the data chose as well: so
    the best of ten is judged as one of ten.
    """

    def __init__(self) -> None:
        self._tests: dict[Hashable, tuple[float, Hashable]] = {}
        self._corrected: dict[Hashable, float] | None = None

    def accuracy(self, first: Result, second: Result, *, reach: bool = False) -> Comparison:
        """How much more accurate the first is.

        Args:
            first: a result.
            second: of another strategy.
            reach: whether it is also asked if the first is less than the margin worse.
        """
        difference = accuracy_difference(first, second)
        key = ("accuracy", frozenset((first.strategy, second.strategy)))
        margin = (key, first.strategy)
        self._ask(key, difference.p, key)
        if reach:
            self._ask(margin, difference.p_below(MARGIN), key)
        return Comparison(first, second, difference, self, key, margin)

    def tokens(self, first: Result, second: Result) -> Comparison:
        """How many more tokens the first needs."""
        difference = token_difference(first, second)
        key = ("tokens", frozenset((first.strategy, second.strategy)))
        self._ask(key, difference.p, key)
        return Comparison(first, second, difference, self, key)

    def mix(self, first: Result, cheaper: Result, dearer: Result) -> Comparison:
        """How much more accurate the first is than the two others, mixed to equal tokens."""
        difference = mix_difference(first, cheaper, dearer)
        key = ("mix", first.strategy, cheaper.strategy, dearer.strategy)
        self._ask(key, difference.p, key)
        return Comparison(first, cheaper, difference, self, key)

    def ask(self, key: Hashable, difference: Difference) -> None:
        """Judge one more difference together with all others, under a name of its own."""
        self._ask(key, difference.p, key)

    @property
    def count(self) -> int:
        """How many differences are judged together."""
        return len({group for _, group in self._tests.values()})

    @property
    def level(self) -> float:
        """The share of the level that each has if all have the same."""
        return LEVEL / max(self.count, 1)

    def corrected(self, key: Hashable) -> float:
        """A p-value, corrected for all that was asked."""
        if self._corrected is None:
            self._corrected = holm(self._tests)
        return self._corrected[key]

    def _ask(self, key: Hashable, p: float, group: Hashable) -> None:
        self._tests[key] = (p, group)
        self._corrected = None


def rounded(problems: float) -> str:
    """A number of problems, to two digits."""
    return f"{int(float(f'{problems:.1e}')):,}" if problems < 1e9 else "very many"


def notes(family: Comparisons) -> str:
    """What a reader of a table of differences has to know."""
    count = family.count
    many = f"all {count} comparisons made here" if count > 1 else "one comparison"
    return (
        f"differences are paired by problem; p (Holm) and intervals (95 %) are for {many}; "
        f"{TO_SEE}: problems like these that would show such a difference, four times in five"
    )
