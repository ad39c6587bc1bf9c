"""first_finish: the first of n samples to finish."""

from __future__ import annotations

from weft.parts.parameters import param, temperature
from weft.search.sampling.drawing import drawer
from weft.search.sampling.nesting import of_param, texts_of
from weft.search.sampling.short_m_at_k import shortest
from weft.search.strategy import Answer, Claim, Question, Strategy, strategy


@strategy("first_finish")
class FirstFinish(Strategy):
    """The first of n samples to end with a readable answer (First Finish Search, 2025).

    The others are cancelled at once. It pays where short reasoning is likelier to be right.
    """

    title = "first-finish"
    family = "early exit"
    source = "First Finish Search, 2025"
    claim = Claim(than="majority", at="accuracy")

    n: int = param(4, "samples that start", least=1, main=True)
    think: bool = param(True, "ask for visible thinking, if the task has it")
    temperature: float = temperature()
    of: Strategy | None = of_param()

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses: `n`, or as many of each of `of`."""
        return texts_of(self.n, self.of)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        draw = drawer(question, self.temperature, think=self.think, of=self.of)
        return await shortest(question, draw, 1, self.n)
