"""Voting: the one primitive behind majority, weighted majority and early stopping.

Answers are clustered by equivalence, clusters keep the order in which they were first seen,
and ties go to the cluster with the earliest sample (Wang et al. 2022, self-consistency).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import eq

Same = Callable[[str, str], bool]


@dataclass(frozen=True)
class Cluster:
    """Samples with the same answer.

    Attributes:
        value: the answer as the earliest of them gave it.
        members: indices of the samples, ascending.
        weight: the sum of their weights; 1 each, unless weights were given.
    """

    value: str
    members: tuple[int, ...]
    weight: float


@dataclass(frozen=True)
class Tally:
    """A count of votes.

    Attributes:
        clusters: in order of their earliest samples.
        unparsable: how many samples had no answer.
    """

    clusters: tuple[Cluster, ...]
    unparsable: int

    @property
    def winner(self) -> Cluster | None:
        """The heaviest cluster, of equals the one with the earliest sample; None without votes."""
        # max() keeps the first of equals, and clusters are in that order.
        return max(self.clusters, key=lambda c: c.weight, default=None)

    @property
    def share(self) -> float:
        """The winner's share of all weight; 0 without votes."""
        total = math.fsum(c.weight for c in self.clusters)
        return self.winner.weight / total if self.winner and total > 0 else 0.0

    def settled(self, pending: Collection[int], most: float = 1.0) -> bool:
        """Whether the winner can't be overtaken, however the samples still to come vote.

        The winner then equals that of the full vote, ties included.

        Args:
            pending: indices of the samples still to come.
            most: the largest weight that one of them may have.
        """
        if not pending:
            return True
        if (leader := self.winner) is None:
            return False
        gain, earliest = most * len(pending), min(pending)
        for rival in (*self.clusters, Cluster("", (earliest,), 0.0)):
            if rival is leader:
                continue
            reach = rival.weight + gain
            first = min(rival.members[0], earliest)
            if reach > leader.weight or (reach == leader.weight and first < leader.members[0]):
                return False
        return True


def tally(
    values: Mapping[int, str | None],
    weights: Mapping[int, float] | None = None,
    same: Same = eq,
) -> Tally:
    """Count the votes.

    Args:
        values: the answer of each sample by index; None where there is none.
        weights: of each sample, at least 0; 1 each if left out.
        same: whether two answers are equivalent.
    """
    groups: dict[str, list[int]] = {}
    unparsable = 0
    for index in sorted(values):
        value = values[index]
        if value is None:
            unparsable += 1
            continue
        if value not in groups and same is not eq:  # equal strings need no comparing with all
            value = next((first for first in groups if same(first, value)), value)
        groups.setdefault(value, []).append(index)
    # fsum: the order of the samples must not decide between nearly equal sums.
    clusters = tuple(
        Cluster(v, tuple(m), math.fsum(1.0 if weights is None else weights[i] for i in m))
        for v, m in groups.items()
    )
    return Tally(clusters, unparsable)


class Election:
    """A plain vote while its samples come in.

    Most of the time it is plain from two numbers that it is still open, and nothing is
    counted anew.

    Args:
        voters: indices of the samples.
        same: whether two answers are equivalent.
    """

    def __init__(self, voters: Iterable[int], same: Same = eq) -> None:
        self._same = same
        self._pending = set(voters)
        self._values: dict[int, str | None] = {}
        self._counts: Counter[str] = Counter()
        self._most = 0

    def add(self, index: int, value: str | None) -> None:
        """A sample has come; None if it has no answer, or failed."""
        self._pending.discard(index)
        if value is not None and value not in self._counts and self._same is not eq:
            value = next((one for one in self._counts if self._same(one, value)), value)
        self._values[index] = value
        if value is not None:
            self._counts[value] += 1
            self._most = max(self._most, self._counts[value])

    def settled(self) -> bool:
        """Whether the winner can't be overtaken, however the rest votes (see `Tally.settled`)."""
        if len(self._pending) > self._most:  # one answer of all the rest would win
            return False
        return tally(self._values).settled(self._pending)
