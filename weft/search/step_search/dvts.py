"""dvts: several greedy step searches that never compare their paths."""

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


@strategy("dvts")
class Dvts(Strategy):
    """Diverse verifier tree search: n / width subtrees that don't compete (Beeching et al. 2024).

    Each subtree makes `width` continuations of its path, and goes on with the best of them. It
    ends when the best is finished; the finished ones among its last continuations are answers
    to choose from. So a verifier that is wrong about one beginning does not decide for all, as
    it does in `beam`. No subtree waits for another one.
    """

    title = "DVTS"
    family = "search"
    source = "Beeching et al. 2024"
    needs = ("verifier", "steps", "continuation")

    n: int = param(8, "continuations a round, in all subtrees", least=1, main=True)
    width: int = param(4, "continuations of each subtree's path; divides n", least=1, main=True)
    verifier: str = verifier_param()
    pick: str = pick_param()
    ahead: int = ahead_param()
    temperature: float = temperature()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_width(self.name, self.n, self.width)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, read_verifier(self.verifier), self.temperature)
        frontier = DvtsFrontier(steps.root, self.n // self.width, self.width)
        ahead = StepsAhead(steps.mover(), self.ahead)
        errors = await explore(frontier, ahead.step, ahead)
        return final_answer(
            sorted(frontier.finished, key=lambda p: (p.depth, p.tie)),
            steps,
            errors,
            pick=self.pick,
            steps=frontier.steps,
            subtrees=self.n // self.width,
            **ahead.details,
        )


class DvtsFrontier(Frontier):
    """The policy of DVTS.

    Attributes:
        finished: answers of subtrees that have ended.
        steps: how many steps have landed.
    """

    def __init__(self, root: Path, subtrees: int, width: int) -> None:
        self.finished: list[Path] = []
        self.steps = 0
        self._root, self._width = root, width
        self._indices = Indices()
        self._landed: list[list[Path]] = [[] for _ in range(subtrees)]
        self._to_come = [0] * subtrees

    def begin(self) -> Sequence[Move]:
        """Every subtree starts from the root."""
        return [
            move
            for subtree in range(len(self._landed))
            for move in self._go_on(subtree, self._root)
        ]

    def on_landed(self, path: Path) -> Sequence[Move]:
        """Go on with the best continuation when the subtree's last is there."""
        self.steps += 1
        self._landed[path.order].append(path)
        return self._choose(path.order)

    def on_failed(self, move: Move) -> Sequence[Move]:
        """The subtree chooses among the others."""
        return self._choose(move.order)

    def guesses(self) -> Iterable[Move]:
        """Each subtree goes on with the best of what it has."""
        bests = [_best(landed) for landed in self._landed if landed]
        return self._indices.ahead((p, self._width) for p in bests if not p.finished)

    def _choose(self, subtree: int) -> Sequence[Move]:
        self._to_come[subtree] -= 1
        if self._to_come[subtree] or not (landed := self._landed[subtree]):
            return ()
        best = _best(landed)
        if best.finished:
            self.finished += [p for p in landed if p.finished]
            self._landed[subtree] = []
            return ()
        return self._go_on(subtree, best)

    def _go_on(self, subtree: int, path: Path) -> list[Move]:
        self._landed[subtree], self._to_come[subtree] = [], self._width
        return [Move(path, self._indices.of(path), subtree) for _ in range(self._width)]


def _best(paths: Sequence[Path]) -> Path:
    return min(paths, key=lambda p: (-(p.score or 0.0), p.tie))
