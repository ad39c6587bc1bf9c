"""deepconf_online: traces are given up as soon as the model loses confidence in them."""

from __future__ import annotations

from functools import partial

from weft.errors import UsageError
from weft.parts.parameters import param, temperature
from weft.programs.watching import watching
from weft.search.answers.voting import Votes
from weft.search.early_exit.confidence import Floor, confidence, floor_of
from weft.search.early_exit.traces import keep_param, most_confident, tracer, window_param
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import Drawn, collect, unscored
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("deepconf_online")
class DeepConfOnline(Strategy):
    """Traces end once they are less confident than earlier ones (DeepConf online, Fu et al. 2025).

    The first traces, the warm-up, are written to their ends. The floor is what a share `keep`
    of them has for its least confident group of tokens, or more. A later trace ends at its first
    group below the floor. Traces that stay above vote, with that confidence for their weight,
    those of the warm-up too. Traces below don't vote, though their tokens are paid for. Sampling
    ends once an answer has the share `consensus` of all weight.

    Traces are counted in their order, not in the order in which they finish. So the answer does
    not depend on how many are drawn at once. A small `keep` may be confidently wrong.
    """

    title = "DeepConf online"
    family = "early exit"
    source = "Fu et al. 2025"
    needs = ("logprobs",)

    n: int = param(32, "traces at most", least=1, main=True)
    warmup: int = param(16, "traces that set the floor", least=1, main=True)
    keep: float = keep_param()
    consensus: float = param(0.95, "the share of the vote that ends it", above=0.5, most=1)
    window: int = window_param()
    parallel: int | None = param(
        None, "traces drawn at once behind the warm-up; all unless given", least=1, kind=int
    )
    think: bool = param(True, "ask for visible thinking, if the task has it")
    temperature: float = temperature()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup > self.n:
            raise UsageError(f"warmup={self.warmup} of {self.name} must be at most n={self.n}")

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        draw = tracer(
            question,
            self.temperature,
            think=self.think,
            confidence=partial(confidence, window=self.window),
            needed_by=self.name,
        )
        drawn = await collect(draw, self.warmup)
        if not drawn.found:
            return unscored(question, drawn)
        floor = floor_of([s.score or 0.0 for s in drawn.found.values()], self.keep)
        votes = Votes(question.same)

        def agreed(drawn: Drawn) -> bool:
            """Count those that have come; whether they agree."""
            for i in drawn.in_order():
                trace = drawn.found.get(i)
                if trace is not None and (score := trace.score or 0.0) >= floor:
                    votes.add(i, trace.value, score)
                if i + 1 >= self.warmup and votes.tally.share >= self.consensus:
                    return True
            return False

        async def watched(index: int) -> Candidate:
            with watching(Floor(self.window, floor)):
                return await draw(index)

        if not agreed(drawn):
            await collect(
                watched,
                self.n,
                lambda drawn, index: agreed(drawn),
                limit=self.parallel,
                drawn=drawn,
            )
        return most_confident(question, drawn, votes.tally, floor)
