"""The tree that walks go down, with the scores found below each of its paths."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from weft.search.step_search.final_answer import final_answer
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer


@dataclass
class Scores:
    """Scores that were found, as far as a choice depends on them.

    Attributes:
        count: how many there are.
        total: their sum.
        squares: the sum of their squares.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, score: float) -> None:
        """One more was found."""
        self.count += 1
        self.total += score
        self.squares += score * score


@dataclass(eq=False)
class Node:
    """A path of the tree.

    Attributes:
        path: the path.
        parent: the node that it extends; None for the root.
        children: its continuations by their texts. One that was drawn twice stands here once.
        begun: how many continuations were begun.
        under_way: how many walks that came through here have not counted yet.
        scores: its own, and those of all below it.
        born: of its continuations as they came.
        deeper: of all that is below its continuations.
    """

    path: Path
    parent: Node | None = None
    children: dict[str, Node] = field(default_factory=dict[str, "Node"])
    begun: int = 0
    under_way: int = 0
    scores: Scores = field(default_factory=Scores)
    born: Scores = field(default_factory=Scores)
    deeper: Scores = field(default_factory=Scores)

    def up(self) -> Iterator[Node]:
        """This node and all above it."""
        at: Node | None = self
        while at is not None:
            yield at
            at = at.parent


class TreeFrontier(Frontier):
    """A policy that walks from the root to the path to be extended.

    `parallel` walks are under way at once. They count in the order in which they were begun,
    whichever ends first. So the tree does not depend on how long calls take.

    Attributes:
        root: of the tree.
        finished: finished paths, in the order in which they counted.
        steps: how many steps have counted.
        walks: how many walks were begun.
        indices: of the continuations made.
    """

    def __init__(self, root: Path, n: int, parallel: int) -> None:
        self.root = Node(root)
        self.finished: list[Path] = []
        self.steps = self.walks = 0
        self.indices = Indices()
        self._n, self._parallel = n, parallel
        self._under_way: deque[tuple[int, Node]] = deque()
        self._ended: dict[int, Path | None] = {}

    @abstractmethod
    def walk(self) -> Node | None:
        """Where the next walk ends; None if that can't be said before a step has counted.

        A walk that ends at a finished path makes no step: its score counts once more.
        """

    @property
    def best_unfinished(self) -> Path | None:
        """The unfinished path of the highest score, of equals the deeper one."""
        open, found = [self.root], list[Path]()
        while open:
            node = open.pop()
            open += node.children.values()
            if node.parent is not None and not node.path.finished:
                found.append(node.path)
        return max(found, key=lambda p: (p.score or 0.0, p.depth, p.tie), default=None)

    def begin(self) -> Sequence[Move]:
        """The first walks."""
        return self._walk()

    def on_landed(self, path: Path) -> Sequence[Move]:
        """Count what can be counted by now, and walk on."""
        return self._end(path.order, path)

    def on_failed(self, move: Move) -> Sequence[Move]:
        """The step counts for nothing."""
        return self._end(move.order, None)

    def _end(self, order: int, path: Path | None) -> list[Move]:
        self._ended[order] = path
        return self._go_on()

    def _go_on(self) -> list[Move]:
        moves = self._walk()
        while self._under_way and self._under_way[0][0] in self._ended:
            order, node = self._under_way.popleft()
            self._count(node, self._ended.pop(order))
            moves += self._walk()
        return moves

    def _walk(self) -> list[Move]:
        """Walks for all places that are free."""
        moves: list[Move] = []
        while len(self._under_way) < self._parallel and self.walks < self._n:
            if (node := self.walk()) is None:
                break
            self.walks += 1
            self._under_way.append((self.walks, node))
            for above in node.up():
                above.under_way += 1
            if node.path.finished:
                self._ended[self.walks] = node.path
            else:
                node.begun += 1
                moves.append(Move(node.path, self.indices.of(node.path), self.walks))
        return moves

    def _count(self, node: Node, path: Path | None) -> None:
        """A walk to a node has ended with a path: a new one, or the finished one of the node."""
        for above in node.up():
            above.under_way -= 1
        if path is None:
            return
        if path is node.path:
            self._back_up(node)
            return
        self.steps += 1
        if path.text not in node.children:
            node.children[path.text] = Node(path, node)
            if path.finished:
                self.finished.append(path)
        self._back_up(node.children[path.text])

    def _back_up(self, node: Node) -> None:
        score = _worth(node.path)
        for distance, above in enumerate(node.up()):
            above.scores.add(score)
            if distance:
                (above.born if distance == 1 else above.deeper).add(score)


def _worth(path: Path) -> float:
    """A path's score; an answer that can't be read is worth nothing."""
    return 0.0 if path.finished and path.value is None else path.score or 0.0


async def searched(frontier: TreeFrontier, steps: Steps, pick: str) -> Answer:
    """Search, and answer with a finished path; if there is none, finish the best one greedily."""
    errors = await explore(frontier, steps.mover())
    found = frontier.finished
    forced = [] if found else await steps.forced(frontier.best_unfinished, frontier.indices, errors)
    return final_answer(
        found or forced,
        steps,
        errors,
        pick="best" if forced else pick,
        steps=frontier.steps,
        walks=frontier.walks,
        forced=bool(forced),
    )
