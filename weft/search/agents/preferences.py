"""Preference pairs from a search tree: turns that lead to an answer, beside those that failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from weft.search.agents.dfsdt import AgentTurn, Place

S = TypeVar("S")


@dataclass(frozen=True)
class Preference(Generic[S]):
    """Two turns from one state, of which one leads to an answer (TP-LLaMA, Chen et al. 2024).

    Attributes:
        state: from which both were tried.
        before: the turns that lead to the state.
        chosen: the one that leads to an answer.
        rejected: one that the search gave up.
    """

    state: S
    before: tuple[AgentTurn[S], ...]
    chosen: AgentTurn[S]
    rejected: AgentTurn[S]


def preferences(root: Place[S]) -> Iterator[Preference[S]]:
    """All pairs of a tree, from its root downwards.

    A turn that the search has not given up, since it ended before, is in no pair.
    """
    open = [root]
    while open:
        place = open.pop(0)
        open += place.children
        tried = [(child, child.turn) for child in place.children if child.turn is not None]
        for good, chosen in tried:
            for bad, rejected in tried:
                if good.leads and bad.pruned:
                    yield Preference(place.state, tuple(place.turns), chosen, rejected)


def write_preferences(file: str | Path, root: Place[S], prompt: str) -> int:
    """Add the pairs of a tree to a file of JSON lines, as trainers of preferences read them.

    Each line has `prompt`, with the turns before, `chosen` and `rejected`, all in the words of
    `AgentTurn.shown`. Pairs whose turns are shown by the same words are left out.

    Args:
        file: is made if it does not exist.
        root: of the tree.
        prompt: what the agent was asked.

    Returns:
        How many pairs were added.
    """
    rows = [
        {
            "prompt": "\n\n".join([prompt, *(turn.shown for turn in pair.before)]),
            "chosen": pair.chosen.shown,
            "rejected": pair.rejected.shown,
        }
        for pair in preferences(root)
        if pair.chosen.shown != pair.rejected.shown
    ]
    with Path(file).open("a", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return len(rows)
