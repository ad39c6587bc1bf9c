"""majority: the most frequent answer among samples."""

from __future__ import annotations

from weft.errors import UsageError
from weft.parts.parameters import param, temperature
from weft.search.answers.voting import Election
from weft.search.sampling.drawing import drawer, hedge_param, hedged
from weft.search.sampling.nesting import check_hedge, of_param, texts_of
from weft.search.sampling.samples import Drawn, collect, voted
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("majority")
class Majority(Strategy):
    """The most frequent answer among n samples: self-consistency (Wang et al. 2022).

    Ties go to the answer with the earliest sample. With `stop_early`, the samples still
    running are cancelled once they can't change the result any more; the answer is that of
    the full vote.

    With `confidence` below 1, sampling also ends once the leader is likelier than the runner-up
    with a probability above it, by the Beta posterior of their votes (adaptive consistency,
    Aggarwal et al. 2023; they use 0.95). The samples are looked at in their order, not in the
    order in which they finish: so the answer is that of drawing one at a time, however many
    are drawn at once, and short samples don't come before long ones.
    """

    family = "sampling"
    source = "Wang et al. 2022; with `confidence` Aggarwal et al. 2023"

    n: int = param(8, "samples at most", least=1, main=True)
    stop_early: bool = param(True, "cancel samples that can't change the result")
    confidence: float = param(
        1.0,
        "stop when the leader is so surely the likeliest answer; 1 waits for certainty",
        above=0.5,
        most=1,
    )
    parallel: int | None = param(None, "samples drawn at once; all unless given", least=1, kind=int)
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()
    hedge: bool = hedge_param()
    of: Strategy | None = of_param()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_hedge(self.hedge, self.of)
        if self.confidence < 1 and not self.stop_early:
            raise UsageError(
                f"confidence={self.confidence:g} of {self.name} ends sampling early, which "
                "stop_early=false forbids; leave one of them out"
            )

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
        election = Election(range(self.n), question.same)

        def enough(drawn: Drawn, index: int) -> bool:
            come = [index] if self.confidence == 1 else drawn.in_order()
            for i in come:
                election.add(i, drawn.value(i))
                if self.stop_early and (election.settled() or election.sure > self.confidence):
                    return True
            return False

        draw = drawer(question, hedged(self.temperature, self.hedge), think=self.think, of=self.of)
        drawn = await collect(draw, self.n, enough, limit=self.parallel)
        return voted(drawn, election.tally)
