"""Which path a step search answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.errors import BudgetExceeded
from weft.parameters import param
from weft.search.frontier import Path
from weft.search.strategy import Answer
from weft.search.voting import tally


def pick_param(*more: str) -> Any:
    """The parameter that says how the answer is chosen among finished paths."""
    ways = ("best", "vote", *more)
    return param("best", f"the answer among finished paths: {', '.join(ways)}", choices=ways)


def outcome(
    finished: Sequence[Path],
    others: Sequence[Path],
    over: BudgetExceeded | None,
    *,
    pick: str = "best",
    weights: Sequence[float] | None = None,
    chosen: Path | None = None,
    **details: Any,
) -> Answer:
    """The Answer of a step search.

    Args:
        finished: paths to choose among; those without a value are only counted.
        others: paths to fall back on when none of these has a value; unfinished, perhaps
            unscored.
        over: the budget that ran out, if one did.
        pick: `best` takes the highest score, `vote` the value with the largest sum of weights.
        weights: of the finished paths in a vote; their scores if left out.
        chosen: the path to answer with, if the search has chosen one itself.
        details: for `Answer.details`.
    """
    details["finished"] = len(finished)
    details["unparsable"] = sum(p.value is None for p in finished)
    if over is not None:
        details["budget"] = over.resource
    valued = [p for p in finished if p.value is not None]
    if not valued:
        best = max((*others, *finished), key=_rank, default=None)
        if best is None:
            return Answer(None, None, None, details)
        return Answer(best.shown, None, best.score, details)
    best = chosen or max(valued, key=_rank)
    if pick == "vote":
        given = [p.score or 0.0 for p in finished] if weights is None else weights
        count = tally({i: p.value for i, p in enumerate(finished)}, dict(enumerate(given)))
        assert count.winner is not None
        best = max((finished[i] for i in count.winner.members), key=_rank)
        details["votes"] = {c.value: round(c.weight, 6) for c in count.clusters}
    return Answer(best.shown, best.value, best.score, details)


def _rank(path: Path) -> tuple[float, int, tuple[int, str]]:
    """Scored before unscored, then by score, then the deeper."""
    return (-1.0 if path.score is None else path.score), path.depth, path.tie
