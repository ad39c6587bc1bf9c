"""rebase: a tree whose width is shared out by a verifier's scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate

from weft.parts.parameters import param, temperature
from weft.search.step_search.ahead import StepsAhead, ahead_param
from weft.search.step_search.final_answer import final_answer, pick_param
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import read_verifier, verifier_param


@strategy("rebase")
class Rebase(Strategy):
    """Reward-balanced search: n continuations a round, shared out by score (Wu et al. 2024).

    Of the paths of a round, each gets a share of the width in proportion to exp(score / tau).
    The width is n at first; each finished path takes one from it, so that n answers are found
    at most. The answer is the one whose paths have the largest sum of scores (`pick=vote`), or
    that of the best path. All paths of a round must be scored before the width is shared out:
    this barrier is the method's own.
    """

    title = "REBASE"
    family = "search"
    source = "Wu et al. 2024"
    needs = ("verifier", "steps", "continuation")

    n: int = param(8, "continuations a round, and finished paths", least=1, main=True)
    verifier: str = verifier_param()
    tau: float = param(0.2, "temperature of the shares: small favours the best", above=0)
    pick: str = pick_param(default="vote")
    ahead: int = ahead_param()
    temperature: float = temperature(1.0)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, read_verifier(self.verifier), self.temperature)
        frontier = RebaseFrontier(steps.root, self.n, self.tau)
        ahead = StepsAhead(steps.mover(), self.ahead)
        errors = await explore(frontier, ahead.step, ahead)
        return final_answer(
            sorted(frontier.finished, key=lambda p: (p.depth, p.tie)),
            steps,
            errors,
            pick=self.pick,
            steps=frontier.steps,
            rounds=len(frontier.widths),
            **ahead.details,
        )


class RebaseFrontier(Frontier):
    """The policy of REBASE.

    Attributes:
        finished: the leaves of the tree; n at most.
        widths: how many continuations each round began.
        steps: how many steps have landed.
    """

    def __init__(self, root: Path, n: int, tau: float) -> None:
        self.finished: list[Path] = []
        self.widths: list[int] = []
        self.steps = 0
        self._root, self._n, self._tau = root, n, tau
        self._indices = Indices()
        self._live: list[Path] = []
        self._to_come = 0

    def begin(self) -> Sequence[Move]:
        """All continuations are of the root."""
        return self._extend([(self._root, self._n)])

    def on_landed(self, path: Path) -> Sequence[Move]:
        """Share out the width when the last path of the round is there."""
        self.steps += 1
        (self.finished if path.finished else self._live).append(path)
        return self._next_round()

    def on_failed(self, move: Move) -> Sequence[Move]:
        """What the path would have got is shared out among the others."""
        return self._next_round()

    def guesses(self) -> Iterable[Move]:
        """The round as it would be if nothing else came, and then all other paths."""
        given = self._shared_out()
        return self._indices.ahead([*given, *((path, 1) for path, n in given if not n)])

    def _next_round(self) -> Sequence[Move]:
        self._to_come -= 1
        if self._to_come or not self._live:
            return ()
        given, self._live = self._shared_out(), []
        return self._extend(given)

    def _shared_out(self) -> list[tuple[Path, int]]:
        """How many continuations each path of the round gets, as far as they have landed."""
        live = sorted(self._live, key=lambda p: (-(p.score or 0.0), p.tie))
        scores = [p.score or 0.0 for p in live]
        given = shares(self._n - len(self.finished), scores, self._tau) if live else []
        return list(zip(live, given, strict=True))

    def _extend(self, given: Sequence[tuple[Path, int]]) -> list[Move]:
        moves = [Move(path, self._indices.of(path)) for path, n in given for _ in range(n)]
        self._to_come = len(moves)
        self.widths.append(len(moves))
        return moves


def shares(width: int, scores: Sequence[float], tau: float) -> list[int]:
    """How many of `width` continuations each path gets, in proportion to exp(score / tau).

    From the best on, each gets its share of what is left, rounded up; so they add up to `width`.

    Args:
        width: how many there are to share out.
        scores: of the paths, best first; at least one.
        tau: temperature; as it falls to 0 the best gets all, and at infinity all get the same.
    """
    weights = [math.exp((score - scores[0]) / tau) for score in scores]
    left = [*accumulate(reversed(weights))][::-1]
    given: list[int] = []
    for weight, rest in zip(weights, left, strict=True):
        # Rounding must not make a whole share one more; the last of all weight takes all.
        share = math.ceil(width * weight / rest - 1e-9) if width else 0
        given.append(share)
        width -= share
    return given
