"""Voting: the one primitive behind every choice by frequency or by weight, and behind early stops.

Answers are clustered by equivalence, clusters keep the order in which they were first seen,
and ties go to the cluster with the earliest sample (Wang et al. 2022, self-consistency).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
        standing = [(c.weight, c.members[0]) for c in self.clusters]
        return _settled(standing, pending, most)


def _settled(
    standing: Sequence[tuple[float, int]], pending: Collection[int], most: float = 1.0
) -> bool:
    """Whether the winner can't be overtaken, given each cluster's weight and earliest sample."""
    if not pending:
        return True
    if not standing:
        return False
    weight, first = leader = max(standing, key=lambda s: (s[0], -s[1]))
    gain, earliest = most * len(pending), min(pending)
    for rival in (*standing, (0.0, earliest)):
        reach = rival[0] + gain
        if rival != leader and (
            reach > weight or (reach == weight and min(rival[1], earliest) < first)
        ):
            return False
    return True


def sure(a: int, b: int) -> float:
    """How sure it is that an answer with `a` votes is likelier than one with `b`, from 0 to 1.

    The probability that a draw of Beta(a + 1, b + 1) is above 1/2, which is that of at most `a`
    heads in a + b + 1 tosses of a fair coin (adaptive consistency, Aggarwal et al. 2023).
    """
    tosses = a + b + 1
    return 1 - sum(math.comb(tosses, heads) for heads in range(b + 1)) / 2**tosses


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
    votes = Votes(same)
    for index in sorted(values):
        value = values[index]
        votes.add(index, value, 1.0 if weights is None or value is None else weights[index])
    return votes.tally


@dataclass
class _Group:
    """Votes for answers that are the same: of each sample the answer as written, and its weight."""

    first: int
    votes: dict[int, tuple[str, float]] = field(default_factory=dict[int, tuple[str, float]])

    @property
    def value(self) -> str:
        """The answer as the earliest sample gave it."""
        return self.votes[self.first][0]

    @property
    def cluster(self) -> Cluster:
        # fsum: the order of the samples must not decide between nearly equal sums.
        weight = math.fsum(weight for _, weight in self.votes.values())
        return Cluster(self.value, tuple(sorted(self.votes)), weight)


class Votes:
    """Votes as they come, in any order; each joins its cluster once.

    Args:
        same: whether two answers are equivalent.
    """

    def __init__(self, same: Same = eq) -> None:
        self._same = same
        self._groups: list[_Group] = []
        self._written: dict[str, _Group] = {}
        self._unparsable = 0

    def add(self, index: int, value: str | None, weight: float = 1.0) -> None:
        """Count a sample's vote; None is a sample without an answer."""
        if value is None:
            self._unparsable += 1
            return
        if (group := self._written.get(value)) is None:
            # Equal strings need no comparing with all.
            alike = () if self._same is eq else self._groups
            group = next((g for g in alike if self._same(g.value, value)), None)
            if group is None:
                self._groups.append(group := _Group(index))
            self._written[value] = group
        group.first = min(group.first, index)
        group.votes[index] = value, weight

    @property
    def counts(self) -> tuple[int, ...]:
        """How many votes each answer has, most first."""
        return tuple(sorted((len(g.votes) for g in self._groups), reverse=True))

    @property
    def tally(self) -> Tally:
        """The count so far."""
        groups = sorted(self._groups, key=lambda g: g.first)
        return Tally(tuple(g.cluster for g in groups), self._unparsable)


class Election(Votes):
    """A plain vote while its samples come in. Nothing is counted anew when one more has come.

    Args:
        voters: indices of the samples.
        same: whether two answers are equivalent.
    """

    def __init__(self, voters: Iterable[int], same: Same = eq) -> None:
        super().__init__(same)
        self._pending = set(voters)
        self._most = 0

    def add(self, index: int, value: str | None, weight: float = 1.0) -> None:
        """A sample has come; None if it has no answer, or failed."""
        super().add(index, value, weight)
        self._pending.discard(index)
        if value is not None:
            self._most = max(self._most, len(self._written[value].votes))

    def settled(self) -> bool:
        """Whether the winner can't be overtaken, however the rest votes (see `Tally.settled`)."""
        if len(self._pending) > self._most:  # one answer of all the rest would win
            return False
        return _settled([(len(g.votes), g.first) for g in self._groups], self._pending)

    @property
    def sure(self) -> float:
        """How sure it is that the winner is likelier than the runner-up; 0 without votes."""
        if not self._groups:
            return 0.0
        first, second, *_ = *self.counts, 0
        return sure(first, second)
