"""sample_until: sample until a verifier is content with an answer."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from weft.parts.parameters import param, temperature
from weft.search.calibration.examples import Scored, with_examples
from weft.search.calibration.isotonic import isotonic, tells
from weft.search.calibration.kept import Calibration, find_calibration
from weft.search.sampling.drawing import annealed, drawer
from weft.search.sampling.samples import Drawn, abstaining, answered, collect, unscored
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import read_verifier, verifier_param

_LEAST = 20


@strategy("sample_until")
class SampleUntil(Strategy):
    """The first sample whose score reaches a threshold; else the best of n (Manvi et al. 2024).

    With `verifier=restart` this is adaptive inference-time compute: the model is asked whether it
    would do better if it began again, and says so or not. With `anneal`, as there, the first
    sample is greedy, and the i-th after it has 1 - 2^-i of the temperature.

    Samples are looked at in their order, not in the order in which they finish. So the answer is
    that of drawing one at a time, however many are drawn at once; those that are not needed are
    cancelled.

    With `calibrated` the threshold is one of the probability that an answer is right, which a
    calibration gives for each score. `weft eval calibrate` makes one of an evaluation with `learn`,
    in which all samples are drawn and scored. If there the score does not tell right answers from
    wrong ones, nothing is scored, and the answer is the vote of all n samples. Without a
    calibration, or with one of fewer than 20 problems, scores are taken as they are.

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
    calibrated: bool = param(False, "the threshold is of a probability, by a calibration")
    learn: bool = param(False, "draw and score all samples, for a calibration")
    task: str = param("", "the name of the calibration; the question's own task unless given")
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    @property
    def method(self) -> str:
        """Under what calibrations are kept: the spec, without what is decided by scores."""
        decides = ("threshold", "parallel", "abstain", "calibrated", "learn", "task")
        own = {f.name: f.default for f in fields(self) if f.name in decides}
        return replace(self, **own).spec

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        verifier = read_verifier(self.verifier)
        heat = annealed(self.temperature) if self.anneal else self.temperature
        draw = drawer(question, heat, think=self.think, verifier=verifier)
        known = self._known(question)
        if known is not None and not tells(known.scores(True), known.scores(False)):
            drawn = await collect(drawer(question, heat, think=self.think), self.n)
            return abstaining(drawn) if self.abstain else unscored(question, drawn)
        sure = None if known is None else isotonic((e.score, bool(e.right)) for e in known.examples)
        accepted: list[int] = []

        def enough(drawn: Drawn, index: int) -> bool:
            for i in drawn.in_order():
                score = drawn.found[i].score if i in drawn.found else None
                if score is None or self.learn:
                    continue
                if (score if sure is None else sure(score)) >= self.threshold:
                    accepted.append(i)
                    return True
            return False

        limit = self.n if self.learn else self.parallel
        drawn = await collect(draw, self.n, enough, limit=limit)
        scored = [s for _, s in sorted(drawn.found.items()) if s.score is not None]
        details: dict[str, Any] = {"accepted": bool(accepted), "scored": len(scored)}
        details |= verifier.details
        if self.calibrated:
            details["calibrated"] = known is not None
        if self.learn:
            examples = [Scored(s.score or 0.0, s.value, s.text) for s in scored]
            details |= with_examples(self.method, examples)
        if accepted:
            chosen = drawn.found[accepted[0]]
        elif self.abstain:
            return abstaining(drawn, **details)
        elif scored:
            chosen = max(scored, key=lambda s: s.score or 0.0)
        else:
            return unscored(question, drawn)
        return answered(drawn, chosen, chosen.score, **details)

    def _known(self, question: Question) -> Calibration | None:
        if not self.calibrated or self.learn:
            return None
        return find_calibration(
            self.method,
            question,
            task=self.task,
            least=_LEAST,
            instead="scores are taken as they are",
        )
