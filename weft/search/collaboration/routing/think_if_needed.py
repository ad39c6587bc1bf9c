"""think_if_needed: quick answers, and thinking only where they do not agree."""

from __future__ import annotations

import math

from weft.parts.parameters import param, temperature
from weft.search.answers.voting import Votes, tally
from weft.search.collaboration.routing.ways import played_by, with_effort
from weft.search.sampling.drawing import drawer
from weft.search.sampling.samples import Drawn, collect, voted
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("think_if_needed")
class ThinkIfNeeded(Strategy):
    """k answers without thinking; where they do not agree, the model thinks (AdaptThink, 2025).

    The quick answers come side by side, of the model in the role `role`. If a share `agree` of all
    k gives the same answer, it is the answer. As soon as that can't be any more, the others are
    cancelled, and the solver thinks, n times; its answers vote. If none of them can be read, the
    quick answers vote. Quick answers are looked at in their order, so the course does not depend
    on which ends first.

    The paper trains a model to choose by its first token. A model as it is can't, so its agreement
    with itself decides. With `role=draft` quick answers are a small model's (Yue et al. 2024).
    """

    title = "think if needed"
    family = "collaboration"
    source = "AdaptThink, Zhang et al. 2025; by agreement: Yue et al. 2024"
    needs = ("thinking",)

    k: int = param(3, "quick answers", least=1, main=True)
    agree: float = param(1.0, "the share of them that must agree", above=0, most=1)
    role: str = param("solver", "whose the quick answers are")
    n: int = param(1, "answers with thinking", least=1)
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `k` and `n`, at most."""
        return self.k + self.n

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        needed = max(1, math.ceil(self.agree * self.k - 1e-9))
        votes, looked_at = Votes(question.same), 0

        def decided(drawn: Drawn, index: int) -> bool:
            nonlocal looked_at
            for i in drawn.in_order():
                votes.add(i, drawn.value(i))
                looked_at += 1
                if agree() or max(votes.counts, default=0) + self.k - looked_at < needed:
                    return True
            return False

        def agree() -> bool:
            return max(votes.counts, default=0) >= needed

        with played_by(self.role):
            quick = drawer(with_effort(question, "none"), self.temperature)
            drawn = await collect(quick, self.k, decided)
        if agree():
            return voted(drawn, votes.tally, thought=False)
        thinking = drawer(question, self.temperature, think=True)
        thoughts = await collect(lambda i: thinking(self.k + i), self.n)
        drawn.found |= {sample.index: sample for sample in thoughts.found.values()}
        drawn.errors += thoughts.errors
        values = {i: drawn.value(i) for i in drawn.found if i >= self.k}
        count = tally(values, same=question.same)
        return voted(drawn, count if count.winner else votes.tally, thought=True)
