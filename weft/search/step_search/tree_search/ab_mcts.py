"""ab_mcts: tree search that decides by Thompson sampling whether to go wider or deeper."""

from __future__ import annotations

import random
from collections.abc import Sequence

from weft.parts.parameters import param, temperature
from weft.search.step_search.final_answer import pick_param
from weft.search.step_search.frontier import Path
from weft.search.step_search.steps import Steps
from weft.search.step_search.tree_search.mcts import parallel_param, walks_param
from weft.search.step_search.tree_search.mixed_model import MixedModel
from weft.search.step_search.tree_search.posteriors import POSTERIORS, Posterior
from weft.search.step_search.tree_search.tree import Node, TreeFrontier, searched
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy
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

    With `belief=mixed` the draws are those of AB-MCTS-M: a mixed model, in which the scores below
    one continuation have something in common, gives a score below each continuation and one of a
    new one, and the walk follows the highest.
    """

    title = "AB-MCTS"
    family = "search"
    source = "AB-MCTS-A and -M, Inoue et al. 2025"
    needs = ("verifier", "steps", "continuation")

    n: int = walks_param()
    verifier: str = verifier_param()
    belief: str = param("gaussian", "how scores are distributed", choices=(*POSTERIORS, "mixed"))
    parallel: int = parallel_param()
    pick: str = pick_param()
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, read_verifier(self.verifier), self.temperature)
        rng = random.Random(stable_seed(question.seed, "beliefs"))
        return await searched(AbMctsFrontier(steps.root, self, rng), steps, self.pick)


class AbMctsFrontier(TreeFrontier):
    """The policy of AB-MCTS-A, or with mixed beliefs of AB-MCTS-M."""

    def __init__(self, root: Path, settings: AbMcts, rng: random.Random) -> None:
        super().__init__(root, settings.n, settings.parallel)
        self._posterior, self._rng = POSTERIORS.get(settings.belief), rng

    def walk(self) -> Node:
        """To the path that is to get a new continuation."""
        node = self.root
        while deeper := [c for c in node.children.values() if not c.path.finished]:
            if self._posterior is None:
                child = self._mixed(node)
            else:
                child = self._wider_or_deeper(node, deeper, self._posterior)
            if child is None:
                break
            node = child
        return node

    def _wider_or_deeper(
        self, node: Node, deeper: Sequence[Node], posterior: Posterior
    ) -> Node | None:
        """The continuation that the walk goes on to; None for a new one."""
        if posterior(node.born, self._rng) >= posterior(node.deeper, self._rng):
            return None
        drawn = [posterior(child.scores, self._rng) for child in deeper]
        return deeper[drawn.index(max(drawn))]

    def _mixed(self, node: Node) -> Node | None:
        """The same by the mixed model. Finished continuations say what to expect, too."""
        children = list(node.children.values())
        drawn, new = MixedModel.of([child.scores for child in children]).draw(self._rng)
        open = [(d, i) for i, d in enumerate(drawn) if not children[i].path.finished and d > new]
        return children[max(open)[1]] if open else None
