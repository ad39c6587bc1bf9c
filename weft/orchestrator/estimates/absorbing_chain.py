"""Sums that are expected along the way of a Markov chain to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

S = TypeVar("S")


def expected_sums(
    chain: Mapping[S, Mapping[S, float]], gains: Mapping[S, Sequence[float]]
) -> dict[S, list[float]]:
    """What a chain gains in all from each state on: x(s) = gain(s) + sum of p(s, t) x(t).

    States are eliminated one after the other (Grassmann, Taksar and Heyman 1985), those with the
    fewest neighbours first. So chains that are nearly a line cost little more than their length.

    Args:
        chain: of each state, the chances of what follows. What a row lacks to 1 is the chance
            that the chain ends there. From every state the end can be reached.
        gains: of each state, one number or several.
    """
    rows = {s: dict(row) for s, row in chain.items()}
    sums = {s: list(gains[s]) for s in rows}
    into: dict[S, set[S]] = {s: set() for s in rows}
    for s, row in rows.items():
        for t in row:
            into[t].add(s)
    order = sorted(rows, key=lambda s: len(rows[s]) * len(into[s]))
    gone: set[S] = set()
    for s in order:
        row, own = rows[s], sums[s]
        stays = row.pop(s, 0.0)
        if stays:
            again = 1.0 / (1.0 - stays)
            for t in row:
                row[t] *= again
            own[:] = [x * again for x in own]
        gone.add(s)
        for before in into[s] - gone:
            through = rows[before]
            p = through.pop(s)
            for t, chance in row.items():
                through[t] = through.get(t, 0.0) + p * chance
                into[t].add(before)
            sums[before] = [x + p * y for x, y in zip(sums[before], own, strict=True)]
    for s in reversed(order):  # what a row still names was eliminated later
        for t, chance in rows[s].items():
            sums[s] = [x + chance * y for x, y in zip(sums[s], sums[t], strict=True)]
    return sums
