"""Which path a step search answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.errors import WeftError
from weft.parts.parameters import param
from weft.search.answers.failures import note
from weft.search.answers.voting import tally
from weft.search.step_search.frontier import Path
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer


def pick_param(*more: str, default: str = "best") -> Any:
    """The parameter that says how the answer is chosen among finished paths."""
    ways = ("best", "vote", *more)
    return param(default, f"the answer among finished paths: {', '.join(ways)}", choices=ways)


def final_answer(
    finished: Sequence[Path],
    steps: Steps,
    errors: Sequence[WeftError],
    /,
    *,
    pick: str,
    weights: Sequence[float] | None = None,
    chosen: Path | None = None,
    **details: Any,
) -> Answer:
    """The Answer of a step search.

    Args:
        finished: paths to choose among; those without a value are only counted.
        steps: made all paths, to fall back on when none of these has a value: finished ones
            first, be they unscored.
        errors: why steps came to nothing.
        pick: `best` takes the highest score, `vote` the value with the largest sum of weights.
        weights: of the finished paths in a vote; their scores if left out.
        chosen: the path to answer with, if the search has chosen one itself.
        details: for `Answer.details`.

    Raises:
        EngineError: no path was finished, and that is for the engines' failures.
    """
    others, errors = steps.paths, [*errors, *steps.errors]
    if all(p.value is None for p in finished) and (more := [p for p in others if p.finished]):
        finished, weights, chosen = more, None, None
    if steps.verifier is not None:
        details |= steps.verifier.details
    details["finished"] = len(finished)
    details["unparsable"] = sum(p.value is None for p in finished)
    note(details, errors)
    valued = [p for p in finished if p.value is not None]
    if not valued:
        if not finished and errors and "budget" not in details:
            raise errors[0]
        best = max(finished or others, key=_rank, default=None)
        if best is None:
            return Answer(None, None, None, details)
        return Answer(best.shown, None, best.score, details)
    best = chosen or max(valued, key=_rank)
    score = best.score
    if pick == "vote":
        given = [p.score or 0.0 for p in finished] if weights is None else weights
        values = {i: p.value for i, p in enumerate(finished)}
        count = tally(values, dict(enumerate(given)), steps.question.same)
        assert count.winner is not None
        best = max((finished[i] for i in count.winner.members), key=_rank)
        score = count.share if best.score is None else best.score
        details["votes"] = {c.value: round(c.weight, 6) for c in count.clusters}
    return Answer(best.shown, best.value, score, details)


def _rank(path: Path) -> tuple[float, int, tuple[int, str]]:
    """Scored before unscored, then by score, then the deeper."""
    return (-1.0 if path.score is None else path.score), path.depth, path.tie
