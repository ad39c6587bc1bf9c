"""budget_forcing: thinking is held to a most, and made to go on."""

from __future__ import annotations

from weft.parsers.thinking import CLOSING_MARKS
from weft.parts.parameters import param, temperature
from weft.programs import Completion, Prompt, node
from weft.search.early_exit.pieces import Pieces, closed, up_to
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import answered, collect
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("budget_forcing")
class BudgetForcing(Strategy):
    """Thinking of a forced length (s1, Muennighoff et al. 2025).

    Where the model ends its thinking, the mark of the end is taken away and `wait` is put in its
    place, `waits` times. Thinking that has come to its most tokens is ended, and the answer
    begun with `final`. Longer thinking soon brings no more, and may do harm.

    A model that does not think answers as ever.
    """

    title = "budget forcing"
    family = "early exit"
    source = "Muennighoff et al. 2025"
    needs = ("continuation", "thinking")

    waits: int = param(1, "how often the end of thinking is put off", least=0, main=True)
    most: int | None = param(
        None, "tokens of thinking at most; the task's own unless given", least=1, kind=int
    )
    wait: str = param("Wait", "what is put in place of the end of thinking")
    final: str = param("", "what begins the answer behind thinking that was cut off")
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""

        @node
        async def force(index: int) -> Candidate:
            pieces = Pieces(question, self.temperature, index, self.name)
            return pieces.candidate(await self._write(question, pieces))

        return answered(await collect(force, 1), None, None)

    async def _write(self, question: Question, pieces: Pieces) -> Completion:
        """An answer behind thinking of the forced length: its last piece."""
        prompt, waits = question.think or question.prompt, self.waits
        left = pieces.most_thinking if self.most is None else self.most
        while True:
            thought = await pieces.write(prompt, left, CLOSING_MARKS)
            if left is not None:
                left -= thought.usage.completion
            end = _end(thought.prompt.text)
            if end is None and thought.text and waits == self.waits:
                return thought  # it does not think, or not this time
            if end is None and thought.in_thinking:
                answer = closed(thought.prompt, self.final)
                break
            if end is None or not waits or left == 0:
                answer = thought.prompt
                break
            waits -= 1
            prompt: Prompt = up_to(thought, end).assistant(self.wait, open=True)
        return await pieces.write(answer, question.max_tokens)


def _end(text: str) -> int | None:
    """Where a text ends its thinking; None if it does not."""
    return min((at for mark in CLOSING_MARKS if (at := text.find(mark)) >= 0), default=None)
