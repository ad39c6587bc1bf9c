"""asked: another strategy, under settings of its own."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

from weft.parts.parameters import param
from weft.programs import Limits, budget
from weft.search.collaboration.routing.prompt_variants import varied
from weft.search.collaboration.routing.ways import played_by, with_effort
from weft.search.sampling.greedy import Greedy
from weft.search.sampling.nesting import of_param
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("asked")
class Asked(Strategy):
    """The answer of another strategy, to a question that is put and answered in another way.

    What may be set: words behind the question, nucleus sampling, the model that answers and its
    effort, and how many tokens all calls together may take. `weft eval sweep` compares strategies
    under such settings (a sweep as in Bag of Tricks, Liu et al. 2025).
    """

    title = "asked otherwise"
    family = "sampling"
    source = "Liu et al. 2025"

    of: Strategy | None = of_param()
    prompt: str = param("", "what is put behind the question")
    top_p: float | None = param(
        None, "nucleus sampling; the question's unless given", above=0, most=1, kind=float
    )
    effort: str = param("", "how much the model thinks, such as low; none switches thinking off")
    role: str = param("solver", "who answers")
    tokens: int | None = param(
        None, "at most, prompts and verdicts included; no limit unless given", least=1, kind=int
    )

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses: as many as `of` does."""
        return 1 if self.of is None else self.of.texts

    def side_by_side(self, questions: int, at_once: int) -> Strategy:
        """The same, with a strategy that shares something out over the questions."""
        if self.of is None or (shared := self.of.side_by_side(questions, at_once)) is self.of:
            return self
        return replace(self, of=shared)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        asked = with_effort(varied(question, self.prompt), self.effort)
        if self.top_p is not None:
            asked = replace(asked, top_p=self.top_p)
        limits = nullcontext() if self.tokens is None else budget(Limits(tokens=self.tokens))
        with played_by(self.role), limits:
            return await (self.of or Greedy())(asked)
