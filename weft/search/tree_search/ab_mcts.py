"""ab_mcts: tree search that decides by Thompson sampling whether to go wider or deeper."""

from __future__ import annotations

import random

from weft.parameters import param, temperature
from weft.search.step_search.final_answer import pick_param
from weft.search.step_search.frontier import Path
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy
from weft.search.tree_search.mcts import parallel_param, walks_param
from weft.search.tree_search.posteriors import POSTERIORS
from weft.search.tree_search.tree import Node, Scores, TreeFrontier, searched
from weft.search.verifiers import read_verifier, verifier_param


@strategy("ab_mcts")
class AbMcts(Strategy):
    """Adaptive branching tree search (AB-MCTS-A, Inoue et al. 2025).

    A path may have any number of continuations. At each path a walk draws two mean scores: one
    from what is believed of new continuations, given the scores of those there are, and one
    from what is believed of going deeper, given the scores of all below these. If the first is
    higher, the path gets a new continuation. Else the walk goes on to one of its unfinished
    continuations: that of the highest draw from what is believed of it, given its own score and
    those below it. After n walks without an answer the best path is finished greedily.
    """

    title = "AB-MCTS"
    family = "search"
    source = "AB-MCTS-A, Inoue et al. 2025"
    needs = ("verifier", "steps", "continuation")

    n: int = walks_param()
    verifier: str = verifier_param()
    belief: str = param("gaussian", "how scores are distributed", choices=tuple(POSTERIORS))
    parallel: int = parallel_param()
    pick: str = pick_param()
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, read_verifier(self.verifier), self.temperature)
        rng = random.Random(stable_seed(question.seed, "beliefs"))
        return await searched(AbMctsFrontier(steps.root, self, rng), steps, self.pick)


class AbMctsFrontier(TreeFrontier):
    """The policy of AB-MCTS-A."""

    def __init__(self, root: Path, settings: AbMcts, rng: random.Random) -> None:
        super().__init__(root, settings.n, settings.parallel)
        self._posterior, self._rng = POSTERIORS[settings.belief], rng

    def walk(self) -> Node:
        """To the path that is to get a new continuation."""
        node = self.root
        while deeper := [c for c in node.children.values() if not c.path.finished]:
            if self._draw(node.born) >= self._draw(node.deeper):
                break
            drawn = [self._draw(child.scores) for child in deeper]
            node = deeper[drawn.index(max(drawn))]
        return node

    def _draw(self, found: Scores) -> float:
        return self._posterior(found, self._rng)
