"""sample_until: sample until a verifier is content with an answer."""

from __future__ import annotations

from weft.parameters import param, temperature
from weft.search.sampling.samples import (
    Drawn,
    abstaining,
    annealed,
    answered,
    collect,
    drawer,
    unscored,
)
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import read_verifier, verifier_param


@strategy("sample_until")
class SampleUntil(Strategy):
    """The first sample whose score reaches a threshold; else the best of n (Manvi et al. 2024).

    With `verifier=restart` this is adaptive inference-time compute: the model is asked whether it
    would do better if it began again, and says so or not. With `anneal`, as there, the first
    sample is greedy, and the i-th after it has 1 - 2^-i of the temperature.

    Samples are looked at in their order, not in the order in which they finish. So the answer is
    that of drawing one at a time, however many are drawn at once; those that are not needed are
    cancelled.

    With `abstain` there is no answer where no score reaches the threshold. A verifier that passes
    wrong answers passes them however many samples are drawn: `weft.evals.imperfect_checks` says
    how many are best.
    """

    family = "sampling"
    source = "Manvi et al. 2024"
    needs = ("verifier",)

    n: int = param(16, "samples at most", least=1, main=True)
    verifier: str = verifier_param()
    threshold: float = param(0.9, "a score that is enough", least=0, most=1)
    parallel: int = param(1, "samples drawn at once", least=1)
    anneal: bool = param(False, "begin greedily, and raise the temperature sample by sample")
    abstain: bool = param(False, "give no answer where no score is enough")
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        verifier = read_verifier(self.verifier)
        heat = annealed(self.temperature) if self.anneal else self.temperature
        draw = drawer(question, heat, think=self.think, verifier=verifier)
        accepted: list[int] = []

        def enough(drawn: Drawn, index: int) -> bool:
            for i in drawn.in_order():
                score = drawn.found[i].score if i in drawn.found else None
                if score is not None and score >= self.threshold:
                    accepted.append(i)
                    return True
            return False

        drawn = await collect(draw, self.n, enough, limit=self.parallel)
        scored = [s for _, s in sorted(drawn.found.items()) if s.score is not None]
        details = {"accepted": bool(accepted), "scored": len(scored), **verifier.details}
        if accepted:
            chosen = drawn.found[accepted[0]]
        elif self.abstain:
            return abstaining(drawn, **details)
        elif scored:
            chosen = max(scored, key=lambda s: s.score or 0.0)
        else:
            return unscored(question, drawn)
        return answered(drawn, chosen, chosen.score, **details)
