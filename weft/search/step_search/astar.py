"""astar: A*-decoding, best-first search over partial answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from weft.parts.parameters import param, temperature
from weft.search.step_search.final_answer import final_answer, pick_param
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Claim, Question, Strategy, strategy
from weft.search.verifiers import read_verifier, verifier_param


@strategy("astar")
class AStar(Strategy):
    """Best-first search with a verifier's score as the heuristic (A*-decoding, 2025).

    Of all open paths the one of smallest f = g + h is extended by k steps. h falls with the
    verifier's score R: `linear` h = 1 - R, `log` h = -ln R. The cost g sums up, along the
    path, by how much h rose (`cost=rise`: losses of quality), or by how much it fell
    (`cost=fall`: then f never falls along a path, so h is consistent). The first step costs
    nothing: there is no score to compare it with. Ties: the smaller h, then the deeper path.

    With `parallel` above 1, so many paths are extended at once; the search is then faster, but
    extends paths that one at a time would not have, and its course depends on which call ends
    first. After `expansions` the best open path is
    finished greedily.
    """

    title = "A*"
    family = "search"
    source = "A*-decoding, Chatziveroglou 2025"
    needs = ("verifier", "steps", "continuation")
    claim = Claim(than="best_of_n", at="tokens")

    k: int = param(4, "continuations of an extended path", least=1, main=True)
    verifier: str = verifier_param()
    cost: str = param("rise", "what a step costs: rise or fall of h", choices=("rise", "fall"))
    heuristic: str = param("linear", "h = 1 - R, or -ln R", choices=("linear", "log"))
    parallel: int = param(1, "paths extended at once", least=1)
    solutions: int = param(1, "finished answers to find", least=1)
    expansions: int = param(64, "most paths to extend", least=1)
    pick: str = pick_param()
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, read_verifier(self.verifier), self.temperature)
        frontier = AStarFrontier(steps.root, self)
        errors = await explore(frontier, steps.mover())
        found, forced = frontier.solutions, list[Path]()
        if not found:
            forced = await steps.forced(frontier.best_unfinished, frontier.indices, errors)
        return final_answer(
            found or forced or frontier.dead,
            steps,
            errors,
            pick="best" if forced else self.pick,
            expansions=frontier.expansions,
            forced=bool(forced),
        )


@dataclass(frozen=True)
class Open:
    """A path on the frontier, with its cost so far and its heuristic."""

    path: Path
    f: float
    g: float
    h: float

    @cached_property
    def key(self) -> tuple[float, float, int, tuple[int, str]]:
        """The order in which paths are taken."""
        return self.f, self.h, -self.path.depth, self.path.tie


class AStarFrontier(Frontier):
    """The policy of A*.

    A worker takes the best open path, and is free again when all k steps have landed; each
    joins the frontier as soon as it is scored. A finished path that comes first needs no
    worker, and is taken at once if no step under way can come before it.

    Attributes:
        solutions: finished paths in the order in which they were taken.
        dead: finished paths without a readable answer.
        expansions: how many paths were extended.
        steps: how many steps have landed.
        indices: of the continuations made.
    """

    def __init__(self, root: Path, settings: AStar) -> None:
        self.solutions: list[Path] = []
        self.dead: list[Path] = []
        self.expansions = self.steps = 0
        self.indices = Indices()
        self._root = Open(root, 0.0, 0.0, 0.0)
        self._settings = settings
        self._open: list[Open] = []
        self._under_way: dict[Path, tuple[Open, int]] = {}
        self._seen: set[tuple[Path, str]] = set()

    @property
    def best_unfinished(self) -> Path | None:
        """The next path that would be extended."""
        live = [o for o in self._open if not o.path.finished]
        return min(live, key=lambda o: o.key).path if live else None

    @property
    def done(self) -> bool:
        """As many solutions as asked for were taken."""
        return len(self.solutions) >= self._settings.solutions

    def begin(self) -> Sequence[Move]:
        """Extend the root."""
        return self._expand(self._root)

    def on_failed(self, move: Move) -> Sequence[Move]:
        """One step less is to come."""
        self._come(move.path)
        return self._take()

    def _come(self, path: Path) -> Open:
        """Count a step from `path` that is no longer under way."""
        parent, to_come = self._under_way.pop(path)
        if to_come > 1:
            self._under_way[path] = parent, to_come - 1
        return parent

    def on_landed(self, path: Path) -> Sequence[Move]:
        """Put the path on the frontier, and take what comes first now."""
        assert path.parent is not None
        parent = self._come(path.parent)
        self.steps += 1
        if (path.parent, path.text) not in self._seen:
            self._seen.add((path.parent, path.text))
            if path.finished and path.value is None:
                self.dead.append(path)
            else:
                self._open.append(self._opened(parent, path))
        return self._take()

    def _opened(self, parent: Open, path: Path) -> Open:
        score = path.score or 0.0
        h = 1 - score if self._settings.heuristic == "linear" else -math.log(max(score, 1e-7))
        if parent is self._root:
            return Open(path, h, 0.0, h)
        if self._settings.cost == "rise":
            g = parent.g + max(0.0, h - parent.h)
            return Open(path, g + h, g, h)
        # f = g + max(0, h0 - h) + h, written so that rounding can't let f fall.
        f = max(parent.f, parent.g + h)
        return Open(path, f, f - h, h)

    def _take(self) -> list[Move]:
        moves: list[Move] = []
        while self._open and not self.done:
            best = min(self._open, key=lambda o: o.key)
            free = len(self._under_way) < self._settings.parallel
            if best.path.finished:
                if not free and self._bound() <= best.key:
                    break
                self._open.remove(best)
                self.solutions.append(best.path)
            elif self.expansions >= self._settings.expansions:
                if self._under_way or not (goals := [o for o in self._open if o.path.finished]):
                    break
                best = min(goals, key=lambda o: o.key)
                self._open.remove(best)
                self.solutions.append(best.path)
            elif free:
                self._open.remove(best)
                moves += self._expand(best)
            else:
                break
        return moves

    def _bound(self) -> tuple[float, float, int, tuple[int, str]]:
        """No step under way can come before this key."""
        parents = [parent for parent, _ in self._under_way.values()]
        rise = self._settings.cost == "rise"
        return min((p.g if rise else p.f, 0.0, -(p.path.depth + 1), (-1, "")) for p in parents)

    def _expand(self, best: Open) -> list[Move]:
        k = self._settings.k
        self.expansions += 1
        self._under_way[best.path] = best, k
        return [Move(best.path, self.indices.of(best.path)) for _ in range(k)]
