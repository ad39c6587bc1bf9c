"""best_of_n: sample, score, keep the best."""

from __future__ import annotations

from weft.parts.parameters import param, temperature
from weft.search.sampling.drawing import drawer, hedge_param, hedged
from weft.search.sampling.nesting import check_hedge, of_param, texts_of
from weft.search.sampling.samples import Drawn, abstaining, answered, collect, unscored
from weft.search.sampling.step_scores import aggregate_param
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import read_verifier, verifier_param


@strategy("best_of_n")
class BestOfN(Strategy):
    """The answer that a verifier scores highest among n samples.

    Each sample is scored as soon as it is there, while others are still generated. Of equal
    scores the earliest sample wins. Samples without a readable answer are not scored. If
    budgets or failures leave no sample scored, the samples vote.

    With `enough`, the samples still running are cancelled once one scores as much.

    With `least` a sample must score so much to be the answer. If none does, or none could be
    scored, there is no answer, whatever budgets and failures have left: with `verifier=guard`,
    nothing is given that the guard has not passed.

    With an `aggregate` other than `last`, the verifier scores the answer up to each of its steps.
    """

    title = "best-of-n"
    family = "sampling"
    source = "Cobbe et al. 2021"
    needs = ("verifier",)

    n: int = param(8, "samples", least=1, main=True)
    verifier: str = verifier_param()
    aggregate: str = aggregate_param()
    temperature: float = temperature()
    hedge: bool = hedge_param()
    enough: float | None = param(
        None, "a score that ends sampling; all are drawn unless given", above=0, most=1, kind=float
    )
    least: float | None = param(
        None, "a score below which there is no answer", above=0, most=1, kind=float
    )
    of: Strategy | None = of_param()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_hedge(self.hedge, self.of)

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses: `n`, or as many of each of `of`."""
        return texts_of(self.n, self.of)

    @property
    def drawn_alike(self) -> bool:
        """Whether all texts are drawn alike; not with a greedy one among them."""
        return not self.hedge

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        verifier = read_verifier(self.verifier)
        draw = drawer(
            question,
            hedged(self.temperature, self.hedge),
            verifier=verifier,
            aggregate=self.aggregate,
            of=self.of,
        )

        def enough(drawn: Drawn, index: int) -> bool:
            score = drawn.found[index].score if index in drawn.found else None
            return self.enough is not None and score is not None and score >= self.enough

        drawn = await collect(draw, self.n, enough)
        found = drawn.found
        scored = [found[i] for i in sorted(found) if found[i].score is not None]
        best = max(scored, key=lambda s: s.score or 0.0, default=None)
        if self.least is not None and (best is None or (best.score or 0.0) < self.least):
            return abstaining(drawn, scored=len(scored), **verifier.details)
        if best is None:
            return unscored(question, drawn)
        return answered(drawn, best, best.score, scored=len(scored), **verifier.details)
