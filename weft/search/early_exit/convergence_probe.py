"""convergence_probe: thinking ends when the answer it would give stays the same."""

from __future__ import annotations

from weft.parts.parameters import param, temperature
from weft.programs import node
from weft.search.early_exit.pieces import Pieces
from weft.search.early_exit.trials import think_with_trials
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import answered, collect
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("convergence_probe")
class ConvergenceProbe(Strategy):
    """Thinking that ends when the answer has stopped to change (Dynasor, Fu et al. 2025).

    After every so many tokens of thinking, the answer is asked for, as if thinking were over: at
    temperature 0, from the last whole line. If the last `agree` answers are the same, thinking
    ends, and the last of them is the answer. The answers asked for are not part of the thinking.

    If a budget ends, or calls fail, the last answer counts that was given when asked for. A model
    that does not think answers as ever.
    """

    title = "convergence probe"
    family = "early exit"
    source = "Fu et al. 2025"
    needs = ("continuation", "thinking")

    every: int = param(64, "tokens between two questions for the answer", least=1, main=True)
    agree: int = param(3, "answers in a row that must be the same", least=1, main=True)
    final: str = param("", "what begins an answer that is asked for")
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""

        @node
        async def probe(index: int) -> Candidate:
            pieces = Pieces(question, self.temperature, index, self.name)
            return await think_with_trials(
                question, pieces, self.every, self.final, lambda trial: trial.row == self.agree
            )

        return answered(await collect(probe, 1), None, None)
