"""convergence_probe: thinking ends when the answer it would give stays the same."""

from __future__ import annotations

from dataclasses import replace

from weft.parameters import param, temperature
from weft.programs import Completion, Prompt, node
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

    With `ask`, such as "Final answer: ", answers begin so, and are asked for outside thinking
    too. If a budget ends, or calls fail, the last answer counts that was given when asked for.
    """

    title = "convergence probe"
    family = "early exit"
    source = "Fu et al. 2025"
    needs = ("continuation", "thinking")

    every: int = param(64, "tokens between two questions for the answer", least=1, main=True)
    agree: int = param(3, "answers in a row that must be the same", least=1, main=True)
    ask: str = param("", "what begins an answer that is asked for")
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""

        @node
        async def probe(index: int) -> Candidate:
            return await self._write(question, Pieces(question, self.temperature, index, self.name))

        return answered(await collect(probe, 1), None, None)

    async def _write(self, question: Question, pieces: Pieces) -> Candidate:
        """An answer, by itself or as soon as it stays the same."""
        prompt, left, same = question.think or question.prompt, question.max_tokens, 0
        if left is not None and question.think is not None:
            left += question.max_think_tokens
        last: Candidate | None = None
        try:
            while True:
                most = self.every if left is None else min(self.every, left)
                piece = await pieces.write(prompt, most)
                prompt, generated = piece.prompt, piece.usage.completion
                if left is not None:
                    left -= generated
                if piece.finish_reason != "length" or generated < most or left == 0:
                    break
                if not piece.in_thinking and not self.ask:
                    piece = await pieces.write(prompt, left)
                    break
                asked = await pieces.write(
                    self._asking(piece, question.steps), question.max_tokens, greedy=True
                )
                given = pieces.candidate(asked)
                if given.value is None:
                    same = 0
                    continue
                again = last is not None and same and question.same(last.value or "", given.value)
                same, last = same + 1 if again else 1, given
                if same == self.agree:
                    return given
        except NO_RESULT as error:
            if last is None:
                raise
            return replace(last, error=error)
        ended = pieces.candidate(piece)
        return last if ended.value is None and last is not None else ended

    def _asking(self, piece: Completion, line: str) -> Prompt:
        """What asks for the answer behind a piece."""
        if not piece.in_thinking:
            return piece.prompt.assistant(self.ask, open=True)
        end = piece.prompt.text.rfind(line)
        whole = piece.prompt if end < 0 else up_to(piece, end + len(line))
        return closed(whole, self.ask)
