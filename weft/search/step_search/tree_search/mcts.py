"""mcts: Monte Carlo tree search over partial answers."""

from __future__ import annotations

import math
from typing import Any

from weft.parts.parameters import param, temperature
from weft.search.step_search.final_answer import pick_param
from weft.search.step_search.frontier import Path
from weft.search.step_search.steps import Steps
from weft.search.step_search.tree_search.tree import Node, TreeFrontier, searched
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import NO_TOKENS, Confidence, read_verifier, verifier_param


def walks_param() -> Any:
    """How many walks a tree search makes."""
    return param(64, "walks from the root; each makes a step at most", least=1, main=True)


def parallel_param() -> Any:
    """How many walks of a tree search are under way at once."""
    return param(4, "walks under way at once", least=1)


@strategy("mcts")
class Mcts(Strategy):
    """Monte Carlo tree search with a verifier's score for its value (UCT, Kocsis 2006).

    Each of n walks goes down from the root. A path that has fewer than `width` continuations
    gets one more, and its score counts for all paths above it. Else the walk goes on to the
    continuation of the highest mean score + explore sqrt(ln N / N'), where N is how many walks
    came to the path and N' to the continuation. A walk to a finished path makes no step. Walks
    under way count as if they had found a score of 0 (virtual loss, Chaslot et al. 2008), so the
    next walks go elsewhere. After n walks without an answer the best path is finished greedily.

    With `bound=puct` what is added is explore P sqrt(N) / (1 + N') (AlphaZero, Silver et al. 2018),
    where P is the continuation's share of what the model finds all of them likely: of each step the
    geometric mean of its tokens' probabilities.
    """

    title = "MCTS"
    family = "search"
    source = "Kocsis and Szepesvári 2006, Chaslot et al. 2008"
    needs = ("verifier", "steps", "continuation")

    n: int = walks_param()
    width: int = param(4, "continuations of a path", least=1, main=True)
    verifier: str = verifier_param()
    bound: str = param(
        "uct", "how seldom walked paths are weighed; puct heeds the model", choices=("uct", "puct")
    )
    explore: float = param(1.414, "weight of paths that were seldom walked", least=0)
    parallel: int = parallel_param()
    pick: str = pick_param()
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        verifier = read_verifier(self.verifier)
        logprobs = 0 if self.bound == "puct" else None
        steps = Steps(question, verifier, self.temperature, logprobs=logprobs)
        return await searched(MctsFrontier(steps.root, self), steps, self.pick)


class MctsFrontier(TreeFrontier):
    """The policy of MCTS."""

    def __init__(self, root: Path, settings: Mcts) -> None:
        super().__init__(root, settings.n, settings.parallel)
        self._width, self._explore = settings.width, settings.explore
        self._puct = settings.bound == "puct"

    def walk(self) -> Node | None:
        """Where the best children lead; where all below is under way, to the next best."""
        branches = [iter([self.root])]
        while branches:
            node = next(branches[-1], None)
            if node is None:
                branches.pop()
            elif node.path.finished or node.begun < self._width:
                return node
            else:
                branches.append(iter(sorted(node.children.values(), key=self._order)))
        return None

    def _order(self, node: Node) -> tuple[float, tuple[int, str]]:
        """Best first."""
        assert node.parent is not None
        walks = node.scores.count + node.under_way
        all_walks = node.parent.scores.count + node.parent.under_way
        if self._puct:
            rare = prior(node) * math.sqrt(all_walks) / (1 + walks)
        else:
            rare = math.sqrt(math.log(all_walks) / walks)
        return -(node.scores.total / walks + self._explore * rare), node.path.tie


def prior(node: Node) -> float:
    """A continuation's share of what the model finds all continuations of its path likely."""
    assert node.parent is not None
    likely = {child: _likely(child.path) for child in node.parent.children.values()}
    total = sum(likely.values())
    return likely[node] / total if total > 0 else 1 / len(likely)


def _likely(path: Path) -> float:
    """The geometric mean of the probabilities of a path's last step; 0 without any."""
    all, before = path.confidence, NO_TOKENS if path.parent is None else path.parent.confidence
    return Confidence(all.total - before.total, all.count - before.count).score
