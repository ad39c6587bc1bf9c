"""beam: step beam search guided by a verifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weft.parts.parameters import param, temperature
from weft.search.step_search.ahead import StepsAhead, ahead_param
from weft.search.step_search.final_answer import final_answer, pick_param
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.steps import Steps
from weft.search.step_search.widths import check_width
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import read_verifier, verifier_param


@strategy("beam")
class Beam(Strategy):
    """Step beam search: n beams, of which each round keeps the best n / width.

    Each round extends every beam by a step and scores it; finished answers leave; the best
    n / width of the others are copied back to n beams (Snell et al. 2024, with the settings
    of Hugging Face's search-and-learn). The rounds overlap where that can't change the
    result: see `BeamFrontier`.
    """

    family = "search"
    source = "Snell et al. 2024"
    needs = ("verifier", "steps", "continuation")

    n: int = param(8, "beams", least=1, main=True)
    width: int = param(4, "continuations of each beam that is kept; divides n", least=1, main=True)
    verifier: str = verifier_param()
    unique: bool = param(True, "keep one of several identical beams")
    pick: str = pick_param()
    ahead: int = ahead_param()
    temperature: float = temperature()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_width(self.name, self.n, self.width)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, read_verifier(self.verifier), self.temperature)
        frontier = BeamFrontier(steps.root, self.n, self.width, unique=self.unique)
        ahead = StepsAhead(steps.mover(), self.ahead)
        errors = await explore(frontier, ahead.step, ahead)
        return final_answer(
            sorted(frontier.finished, key=lambda p: (p.depth, p.tie)),
            steps,
            errors,
            pick=self.pick,
            steps=sum(len(r) for r in frontier.rounds),
            rounds=len(frontier.rounds),
            **ahead.details,
        )


class BeamFrontier(Frontier):
    """The policy of beam search, without a barrier between rounds.

    A path goes on before its round has ended if it is sure to be kept: if those of its
    round that are better, and all that are still to come, would not fill the places. It then
    starts the `width` continuations that a kept path has at least. What is left over (when
    fewer paths than places remain, since others finished) starts when the round has ended.
    So every path that is generated would also be generated with a barrier, and the other way
    round.

    Attributes:
        finished: paths that left their rounds, finished.
        rounds: the paths that landed, by depth.
    """

    def __init__(self, root: Path, n: int, width: int, *, unique: bool = True) -> None:
        self.finished: list[Path] = []
        self.rounds: list[list[Path]] = []
        self._root, self._n, self._width, self._unique = root, n, width, unique
        self._indices = Indices()
        self._started: set[Path] = set()
        self._lost: list[int] = []

    def begin(self) -> Sequence[Move]:
        """All beams start from the root."""
        return self._copies(self._root, self._n)

    def on_landed(self, path: Path) -> Sequence[Move]:
        """Extend the paths that are sure to be kept by now."""
        self._reach(path.depth)
        self.rounds[path.depth - 1].append(path)
        if path.finished:
            self.finished.append(path)
        return self._advance(path.depth)

    def on_failed(self, move: Move) -> Sequence[Move]:
        """One path less is to come in its round."""
        depth = move.path.depth + 1
        self._reach(depth)
        self._lost[depth - 1] += 1
        return self._advance(depth)

    def guesses(self) -> Iterable[Move]:
        """Of each round the best that are not sure to be kept yet."""
        likely = [
            path
            for depth in range(1, len(self.rounds) + 1)
            if self._to_come(depth)
            for path in self._ranked(self.rounds[depth - 1])[: self._n // self._width]
        ]
        return self._indices.ahead((p, self._width) for p in likely if p not in self._started)

    def _to_come(self, depth: int) -> int:
        return self._n - len(self.rounds[depth - 1]) - self._lost[depth - 1]

    def _reach(self, depth: int) -> None:
        while len(self.rounds) < depth:
            self.rounds.append([])
            self._lost.append(0)

    def _advance(self, depth: int) -> list[Move]:
        this_round = self.rounds[depth - 1]
        to_come = self._to_come(depth)
        ranked = self._ranked(this_round)
        keep = self._n // self._width
        moves: list[Move] = []
        for kept in ranked[: max(0, keep - to_come)]:
            if kept not in self._started:
                self._started.add(kept)
                moves += self._copies(kept, self._width)
        if not to_come and (survivors := ranked[:keep]):
            each, extra = divmod(self._n, len(survivors))
            for place, kept in enumerate(survivors):
                moves += self._copies(kept, each + (place < extra) - self._width)
        return moves

    def _ranked(self, paths: list[Path]) -> list[Path]:
        """The unfinished ones, best first."""
        live = sorted((p for p in paths if not p.finished), key=lambda p: (-(p.score or 0), p.tie))
        if not self._unique:
            return live
        # Of identical paths the one that has been extended stands for all.
        by_text: dict[str, Path] = {}
        for path in live:
            if path.text not in by_text or path in self._started:
                by_text[path.text] = path
        return list(by_text.values())

    def _copies(self, path: Path, count: int) -> list[Move]:
        return [Move(path, self._indices.of(path)) for _ in range(count)]
