"""Holm's correction: many comparisons, and few false alarms among all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def holm(tests: Mapping[K, tuple[float, Hashable]]) -> dict[K, float]:
    """The p-values corrected for how many comparisons there are (Holm 1979).

    If all corrected p-values up to some level are believed, the chance that any of them is a
    false alarm is at most this level, whatever the comparisons have to do with each other.

    A group is several questions about one difference, such as whether it is not 0 and whether it is
    above -2 points, of which together at most the level is wrong: it counts as one comparison
    until the last of them is decided (after Shaffer 1986).

    Args:
        tests: each test's p-value and group.
    """
    left = Counter(group for _, group in tests.values())
    corrected: dict[K, float] = {}
    largest = 0.0
    for key, (p, group) in sorted(tests.items(), key=lambda item: item[1][0]):
        largest = max(largest, min(1.0, p * len(left)))
        corrected[key] = largest
        left[group] -= 1
        if not left[group]:
            del left[group]
    return corrected
