"""majority: the most frequent answer among samples."""

from __future__ import annotations

from weft.parameters import param, temperature
from weft.search.sampling.samples import Drawn, collect, drawer, voted
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.voting import Election


@strategy("majority")
class Majority(Strategy):
    """The most frequent answer among n samples: self-consistency (Wang et al. 2022).

    Ties go to the answer with the earliest sample. With `stop_early`, the samples still
    running are cancelled once they can't change the result any more; the answer is that of
    the full vote.
    """

    n: int = param(8, "samples", least=1, main=True)
    stop_early: bool = param(True, "cancel samples that can't change the result")
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        election = Election(range(self.n), question.same)

        def enough(drawn: Drawn, index: int) -> bool:
            sample = drawn.found.get(index)
            election.add(index, sample.value if sample is not None else None)
            return election.settled()

        draw = drawer(question, self.temperature, think=self.think)
        if self.stop_early:
            drawn = await collect(draw, self.n, enough)
        else:
            drawn = await collect(draw, self.n)
        return voted(question, drawn)
