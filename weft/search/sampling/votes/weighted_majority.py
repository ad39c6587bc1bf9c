"""weighted_majority: samples vote with the scores that a verifier gives them."""

from __future__ import annotations

from weft.parts.parameters import param, temperature
from weft.search.answers.voting import tally
from weft.search.sampling.drawing import drawer, hedge_param, hedged
from weft.search.sampling.nesting import check_hedge, of_param, texts_of
from weft.search.sampling.samples import answered, collect, unscored
from weft.search.sampling.step_scores import aggregate_param
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import read_verifier, verifier_param


@strategy("weighted_majority")
class WeightedMajority(Strategy):
    """The answer whose samples have the largest sum of scores (weighted best-of-N).

    With equal scores it is `majority`; with one score far above the others, `best_of_n`. The
    text given is that of the winner's best sample. If a budget leaves no sample scored, the
    samples vote with equal weights; otherwise those without a score don't vote.

    With an `aggregate` other than `last`, the verifier scores the answer up to each of its steps.
    """

    family = "sampling"
    source = "Li et al. 2022"
    needs = ("verifier",)

    n: int = param(8, "samples", least=1, main=True)
    verifier: str = verifier_param()
    aggregate: str = aggregate_param()
    temperature: float = temperature()
    hedge: bool = hedge_param()
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
        drawn = await collect(draw, self.n)
        found = drawn.found
        weights = {i: s.score for i, s in found.items() if s.score is not None}
        if not weights:
            return unscored(question, drawn)
        count = tally({i: found[i].value for i in weights}, weights, question.same)
        assert count.winner is not None
        best = max(count.winner.members, key=lambda i: weights[i])
        details = {
            "scored": len(weights),
            "votes": {c.value: round(c.weight, 6) for c in count.clusters},
            **verifier.details,
        }
        return answered(drawn, found[best], count.share, **details)
