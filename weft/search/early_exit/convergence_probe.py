"""convergence_probe: thinking ends when the answer it would give stays the same."""

from __future__ import annotations

from dataclasses import replace

from weft.parameters import param, temperature
from weft.programs import Completion, node
from weft.search.early_exit.pieces import Pieces, closed, up_to
from weft.search.failures import NO_RESULT
from weft.search.sampling.samples import Candidate, answered, collect
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
            last: Candidate | None = None  # answer that was asked for
            same = 0

            async def ask(piece: Completion) -> Completion | None:
                nonlocal last, same
                end = piece.prompt.text.rfind(question.steps)
                whole = piece.prompt if end < 0 else up_to(piece, end + len(question.steps))
                asked = await pieces.write(
                    closed(whole, self.final), question.max_tokens, greedy=True
                )
                given = pieces.candidate(asked)
                if given.value is None:
                    same = 0
                    return None
                again = last is not None and question.same(last.value or "", given.value)
                same, last = (same if again else 0) + 1, given
                return asked if same == self.agree else None

            try:
                ended = pieces.candidate(await pieces.think(self.every, ask, self.final))
            except NO_RESULT as error:
                if last is None:
                    raise
                return replace(last, error=error)
            return last if ended.value is None and last is not None else ended

        return answered(await collect(probe, 1), None, None)
