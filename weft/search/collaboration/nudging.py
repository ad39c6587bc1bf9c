"""nudging: a small model gives the next words where the large one is in doubt."""

from __future__ import annotations

import re
from collections.abc import Sequence

from weft.parts.parameters import param, temperature
from weft.programs import Completion
from weft.programs.watching import watching
from weft.search.collaboration.glimpse import FirstDoubt, likeliest
from weft.search.collaboration.shared_answer import SharedAnswer, written_together
from weft.search.early_exit.traces import check_reported
from weft.search.strategy import Answer, Question, Strategy, strategy

_ALONE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"\s*(?:[{_ALONE}]|[^\s{_ALONE}]+)")
"""A word with the space before it; of Chinese and Japanese, a character."""


@strategy("nudging")
class Nudging(Strategy):
    """Words of a small model where a large one is in doubt (Nudging, Fei et al. 2025).

    The large model, the solver, may be a base model that was never taught to answer. It writes
    until no token has the probability `sure` in the next place. There the small model, in the
    role `draft`, which was taught, looks ahead. Its first word is taken, and further ones as long
    as the large model is still in doubt behind them. If the large model's own next token is what
    the small one says, too, the large model goes on with that.

    If the small model ends the answer within its look ahead, all of that is taken, and the
    answer is over. So it is after three equal words in a row, and where the large model ends it
    without a doubt. If one of both models fails, the other one writes on alone.
    """

    family = "collaboration"
    source = "Fei et al. 2025"
    needs = ("draft", "continuation", "logprobs")

    sure: float = param(
        0.3, "the probability of a token from which on it is sure", least=0, most=1, main=True
    )
    ahead: int = param(16, "tokens that the small model looks ahead", least=1)
    temperature: float = temperature(0.0)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        shared = SharedAnswer(question, self.temperature, self.name, think=False)
        words: list[str] = []
        look: _LookAhead | None = None

        async def go_on() -> None:
            nonlocal look
            with watching(FirstDoubt(self.sure)):
                piece = await shared.tried(shared.write("solver", logprobs=1))
            if piece is None:  # it has failed
                shared.take(await shared.write("draft"))
                return
            check_reported(piece, self.name)
            if piece.finish_reason != "cut":
                shared.take(piece)
                return
            doubt = _doubt(piece, self.sure)
            if (before := len(piece.prompt.text) - len(doubt)) > 0:
                shared.take(piece, before)
                look = None
            elif look is not None and look.says(doubt):
                shared.take(piece)
                look = None
                return
            if shared.over:
                return
            if look is None or not look.rest:
                seen = await shared.tried(shared.write("draft", most=self.ahead))
                if seen is None:
                    shared.take(await shared.write("solver"))
                    return
                look = _LookAhead(seen)
            words.append(look.take(shared).strip())
            if len(words) >= 3 and len(set(words[-3:])) == 1:
                shared.stop()

        return await written_together(shared, go_on, lambda: {"nudges": len(words)})


def _doubt(piece: Completion, sure: float) -> str:
    """The token of which the model was not sure, at a piece's end; empty if that was the end."""
    last = piece.logprobs[-1:]
    return last[0].token if last and likeliest(last[0]) < sure else ""


class _LookAhead:
    """What the small model would say next, of which words are taken one by one."""

    def __init__(self, piece: Completion) -> None:
        self._piece, self._taken = piece, 0
        text = piece.prompt.text
        self._ends: Sequence[int] = word_ends(text, cut=piece.finish_reason == "length")
        if piece.finish_reason != "length":
            self._ends = [len(text)]

    @property
    def rest(self) -> str:
        """The words that are not taken."""
        return self._piece.prompt.text[self._taken : self._ends[-1]]

    def says(self, token: str) -> bool:
        """Whether the next word begins with a token."""
        return bool(token.strip()) and self.rest.lstrip().startswith(token.strip())

    def take(self, shared: SharedAnswer) -> str:
        """Make the next word a part of the answer, or all if the model has ended it there."""
        since = self._taken
        self._taken = next(end for end in self._ends if end > since or end == self._ends[-1])
        shared.take(self._piece, self._taken, since)
        return self._piece.prompt.text[since : self._taken]


def word_ends(text: str, *, cut: bool) -> list[int]:
    """Where the words of a text end, each with the space before it; never empty.

    Args:
        text: what a model looked ahead.
        cut: whether it was cut off, so that its last word may go on. It then counts only if
            there is no other.
    """
    ends = [match.end() for match in _WORD.finditer(text)]
    if cut and len(ends) > 1 and ends[-1] == len(text):
        ends.pop()
    return ends or [len(text)]
