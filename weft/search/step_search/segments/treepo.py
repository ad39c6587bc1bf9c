"""treepo: whole answers that share their beginnings, sampled as one tree of segments."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from weft.parts.parameters import param, temperature
from weft.search.step_search.final_answer import final_answer
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.rebase import shares
from weft.search.step_search.segments.segment_params import depth_param, every_param
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy

PATTERN, TIMES = 32, 8
"""A path is only repeating itself when its last so many characters came so many times."""


@strategy("treepo")
class TreePO(Strategy):
    """A vote of n answers that are the leaves of one tree of segments (TreePO, Li et al. 2025).

    The tree begins with `roots` branches. After each round it gets twice as many branches as the
    round had paths, but no more than answers are missing. They are shared out evenly among the
    unfinished paths, or by the probability of these. Where all paths have finished too early, new
    branches go on from finished ones, each cut at a random earlier segment. So there are n leaves
    in the end, and what they share is generated once.

    Every unfinished path gets a branch for certain, which begins at once; only what is more waits
    for the round.

    Leaves that share a beginning are no independent samples, so a vote of n leaves is worth less
    than one of n samples. `effective` in the details says how many independent samples they
    would be, if answers were as alike as the share of tokens that they have in common.
    """

    title = "TreePO"
    family = "sampling"
    source = "TreePO, Li et al. 2025"
    needs = ("continuation",)

    n: int = param(8, "answers", least=1, main=True)
    every: int = every_param(512)
    roots: int = param(2, "branches of the first segment", least=1)
    depth: int = depth_param(6)
    split: str = param("even", "how branches are shared out", choices=("even", "probability"))
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(
            question,
            None,
            self.temperature,
            every=self.every,
            depth=self.depth,
            logprobs=0 if self.split == "probability" else None,
        )
        frontier = TreePOFrontier(steps.root, self, stable_seed(question.seed, "cut"))
        errors = await explore(frontier, steps.mover())
        leaves = sorted(frontier.leaves, key=lambda p: (p.order, p.tie))
        whole = sum(leaf.tokens for leaf in leaves)
        made = sum(segment.tokens - _before(segment) for segment in steps.paths)
        return final_answer(
            leaves,
            steps,
            errors,
            pick="vote",
            weights=[1.0] * len(leaves),
            segments=len(steps.paths),
            rounds=frontier.decided,
            generated=made,
            shared=max(0, whole - made),
            effective=round(effective(leaves), 3),
        )


@dataclass
class _Round:
    """Paths that are told by the number of their round.

    Attributes:
        width: how many segments it makes; None until the round before it is decided.
        landed: those that are there.
        lost: how many came to nothing.
    """

    width: int | None = None
    landed: list[Path] = field(default_factory=list[Path])
    lost: int = 0

    @property
    def over(self) -> bool:
        return self.width == len(self.landed) + self.lost


class TreePOFrontier(Frontier):
    """The policy of TreePO; a path's `order` is its round.

    Attributes:
        leaves: finished paths; n in the end, unless segments came to nothing.
        decided: how many rounds are over.
    """

    def __init__(self, root: Path, settings: TreePO, seed: int) -> None:
        self.leaves: list[Path] = []
        self.decided = 0
        self._root, self._settings = root, settings
        self._indices = Indices()
        self._rng = random.Random(seed)
        self._rounds = [_Round(min(settings.roots, settings.n))]

    def begin(self) -> Sequence[Move]:
        """The first branches."""
        width = self._rounds[0].width or 0
        return [self._move(self._root, 0) for _ in range(width)]

    def on_landed(self, path: Path) -> Sequence[Move]:
        """A path goes on at once; what else a round gives follows when it is over."""
        this = self._round(path.order)
        if not path.finished and repeats(path.text):
            path = replace(path, finished=True)
        this.landed.append(path)
        if path.finished:
            self.leaves.append(path)
            return self._decide()
        return [self._move(path, path.order + 1), *self._decide()]

    def on_failed(self, move: Move) -> Sequence[Move]:
        """Its round has a path less."""
        self._round(move.order).lost += 1
        return self._decide()

    def _round(self, number: int) -> _Round:
        while len(self._rounds) <= number:
            self._rounds.append(_Round())
        return self._rounds[number]

    def _decide(self) -> list[Move]:
        """Share out the branches of the rounds that are over by now."""
        moves: list[Move] = []
        while self.decided < len(self._rounds) and self._rounds[self.decided].over:
            this = self._rounds[self.decided]
            self.decided += 1
            done = sum(leaf.order < self.decided for leaf in self.leaves)
            width = min(self._settings.n - done, 2 * len(this.landed))
            if not width:
                break
            self._round(self.decided).width = width
            live = sorted((p for p in this.landed if not p.finished), key=lambda p: p.tie)
            for path, more in self._shared_out(live, width):
                moves += [self._move(path, self.decided) for _ in range(more)]
        return moves

    def _shared_out(self, live: list[Path], width: int) -> list[tuple[Path, int]]:
        """How many branches each path gets beside the one that it has."""
        more = width - len(live)
        if not live:
            # Rounds may overlap, but a round without live paths has none behind it.
            finished = sorted(self.leaves, key=lambda p: (p.order, p.tie))
            return [(self._cut(self._rng.choice(finished)), 1) for _ in range(width)]
        if self._settings.split == "probability":
            live.sort(key=lambda p: (-p.confidence.mean, p.tie))
            return list(
                zip(live, shares(more, [p.confidence.mean for p in live], 1.0), strict=True)
            )
        each, rest = divmod(width, len(live))
        return [(p, each - 1 + rest * (p is live[-1])) for p in live]

    def _cut(self, path: Path) -> Path:
        """A finished path up to a random earlier segment."""
        above: list[Path] = []
        while path.parent is not None:
            path = path.parent
            above.append(path)
        return self._rng.choice(above)

    def _move(self, path: Path, order: int) -> Move:
        return Move(path, self._indices.of(path), order)


def repeats(text: str) -> bool:
    """Whether a text has come to repeating itself."""
    return len(text) >= PATTERN and text.count(text[-PATTERN:]) >= TIMES


def effective(leaves: Sequence[Path]) -> float:
    """How many independent samples leaves are worth.

    Two leaves count as alike as the share of a leaf's mean length that they have in common. The
    variance of a mean of n answers, so correlated, is that of so many independent ones.
    """
    counts: dict[Path, int] = {}
    for leaf in leaves:
        at: Path | None = leaf
        while at is not None:
            counts[at] = counts.get(at, 0) + 1
            at = at.parent
    alike = sum((path.tokens - _before(path)) * count**2 for path, count in counts.items())
    return len(leaves) * sum(leaf.tokens for leaf in leaves) / alike if alike else 0.0


def _before(path: Path) -> int:
    return 0 if path.parent is None else path.parent.tokens
