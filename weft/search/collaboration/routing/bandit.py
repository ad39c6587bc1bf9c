"""bandit: each question goes to the model that has done best for questions like it."""

from __future__ import annotations

from weft.search.collaboration.routing.taught import Taught
from weft.search.collaboration.routing.ways import read_ways, ways_param
from weft.search.strategy import Answer, Question, strategy


@strategy("bandit")
class Bandit(Taught):
    """A model chosen by a contextual bandit: accuracy less cost (GreenServ, 2026).

    Which of the ways answers is decided by LinUCB, upon what is known of a question beforehand:
    how hard it is to read, and which earlier questions have words like it. The reward is
    (1 - weight) * accuracy - weight * cost. The accuracy is what `verifier` says of the answer,
    which is only as good as the verifier; `function` is exact where a task has a check. An answer
    without a verdict teaches nothing. The cost is the tokens of the answer, times what a token of
    that way costs, as a share of the highest cost so far. In the paper the cost is energy, which
    engines don't tell. Where a model fails, the next best answers.

    In an evaluation the questions of a suite teach each other. A decision then rests on all
    questions before it but the last `parallel`, which are under way, so it does not depend on
    time. Elsewhere, as in a service, the questions of a pool do, in the order in which they end.
    """

    family = "collaboration"
    source = "GreenServ, 2026; LinUCB: Li et al. 2010"
    needs = ("draft", "verifier")

    ways: str = ways_param("who may answer")

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        ways = read_ways(self.ways)
        return await self.answer_by_best(question, {way.name: (way, question) for way in ways})
