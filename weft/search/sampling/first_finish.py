"""first_finish: the first of n samples to finish."""

from __future__ import annotations

from weft.parameters import param, temperature
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

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        return await shortest(question, 1, self.n, self.temperature, self.think)
