"""greedy: one answer at temperature 0."""

from __future__ import annotations

from weft.parts.parameters import param
from weft.search.sampling.drawing import drawer
from weft.search.sampling.samples import answered, collect
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("greedy")
class Greedy(Strategy):
    """One answer, each token the likeliest."""

    family = "sampling"
    baseline = True

    think: bool = param(False, "ask for visible thinking, if the task has it")

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: one."""
        return 1

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        drawn = await collect(drawer(question, 0.0, think=self.think), 1)
        return answered(drawn, None, None)
