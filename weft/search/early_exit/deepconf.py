"""deepconf: the vote of those traces in which the model was most confident."""

from __future__ import annotations

from functools import partial

from weft.parts.parameters import param, temperature
from weft.search.answers.voting import tally
from weft.search.early_exit.confidence import MEASURES, confidence, floor_of
from weft.search.early_exit.traces import keep_param, most_confident, tracer, window_param
from weft.search.sampling.samples import collect, unscored
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("deepconf")
class DeepConf(Strategy):
    """The vote of n samples by the model's confidence (DeepConf offline, Fu et al. 2025).

    The confidence of a group of tokens is the mean of the negative log-probabilities of the 20
    likeliest alternatives at each. A sample's is that of its least confident groups, and is the
    weight of its vote. Only the share `keep` of samples votes that has the most confidence. A
    small share may be confidently wrong. Samples without a readable answer don't count.
    """

    title = "DeepConf"
    family = "early exit"
    source = "Fu et al. 2025"
    needs = ("logprobs",)

    n: int = param(16, "samples", least=1, main=True)
    keep: float = keep_param()
    by: str = param(
        "bottom", f"the confidence of a sample: {', '.join(MEASURES)}", choices=MEASURES
    )
    window: int = window_param()
    think: bool = param(True, "ask for visible thinking, if the task has it")
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        measured = partial(confidence, window=self.window, measure=self.by)
        draw = tracer(
            question,
            self.temperature,
            think=self.think,
            confidence=measured,
            needed_by=self.name,
        )
        drawn = await collect(draw, self.n)
        scores = {i: s.score or 0.0 for i, s in drawn.found.items() if s.value is not None}
        if not scores:
            return unscored(question, drawn)
        floor = floor_of([*scores.values()], self.keep)
        weights = {i: score for i, score in scores.items() if score >= floor}
        count = tally({i: drawn.found[i].value for i in weights}, weights, question.same)
        return most_confident(question, drawn, count, floor)
