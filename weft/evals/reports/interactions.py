"""Whether strategies that are put together are better than each of them alone."""

from __future__ import annotations

from collections.abc import Sequence

from weft.evals.reports.comparisons import MARGIN, Comparison, Comparisons, Verdict
from weft.evals.reports.labels import family, parameters
from weft.evals.results import Result


def parts(result: Result, results: Sequence[Result]) -> list[Result]:
    """Of a strategy that holds another, such as `majority(of=astar)`, the two alone.

    Those are left out that the results don't have.
    """
    mine = parameters(result.strategy)
    inner = [r for r in results if r.strategy in mine.values()]
    if not inner:
        return []
    rest = {k: v for k, v in mine.items() if v not in {r.strategy for r in inner}}
    outer = [
        r
        for r in results
        if family(r.strategy) == family(result.strategy) and parameters(r.strategy) == rest
    ]
    return [*outer, *inner]


class Together:
    """A strategy that holds another, compared with the two alone.

    Args:
        asked: all that the report compares.
        result: of the strategy that holds another.
        alone: of the two.
    """

    def __init__(self, asked: Comparisons, result: Result, alone: Sequence[Result]) -> None:
        self.result = result
        self.accuracies = [asked.accuracy(result, part) for part in alone]
        self._tokens = [asked.tokens(result, part) for part in alone]

    @property
    def verdict(self) -> Verdict:
        """Yes if it is more accurate than each alone, no if it loses to one.

        It loses if it is less accurate, or if it needs more tokens and is sure to gain less than
        two points.
        """
        if all(c.verdict == "yes" for c in self.accuracies):
            return "yes"
        return "no" if any(map(self._loses, self.accuracies, self._tokens)) else "can't tell"

    @property
    def why(self) -> str:
        """What decides, as the beginning of a sentence; empty if nothing does."""
        if self.verdict != "no":
            return ""
        lost = zip(self.accuracies, self._tokens, strict=True)
        loser = next(c for c, tokens in lost if self._loses(c, tokens))
        if loser.verdict == "no":
            return f"Warning: {loser.second.strategy} alone is more accurate. "
        return f"Warning: {loser.second.strategy} alone is as accurate, with fewer tokens. "

    @staticmethod
    def _loses(accuracy: Comparison, tokens: Comparison) -> bool:
        if accuracy.verdict == "no":
            return True
        return tokens.verdict == "yes" and accuracy.interval[1] < MARGIN
