"""by_demands: the cheapest strategy that is predicted to be right, by what a question demands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from statistics import fmean
from typing import Any

from weft.errors import UsageError, WeftError
from weft.parts.parameters import param
from weft.search.allocation.demands import RUBRIC, demands_of, read_rubric
from weft.search.answers.failures import NO_RESULT, note
from weft.search.calibration.examples import Scored, with_examples
from weft.search.calibration.kept import Calibration, find_calibration
from weft.search.calibration.profiles import Profiles, cheapest, fit_profiles
from weft.search.calibration.table import SELF
from weft.search.needs import nested
from weft.search.sampling.greedy import Greedy
from weft.search.sampling.nesting import of_param
from weft.search.strategy import Answer, Question, Strategy, parse_strategy, stable_seed, strategy

_LEAST = 20


@strategy("by_demands")
class ByDemands(Strategy):
    """The cheapest strategy that is predicted to be right, by what the question demands.

    A judge says on several scales how much the question demands, or its task does. Of each
    strategy a profile predicts by these levels how likely it is right: a logistic regression,
    fitted to a calibration (General Scales, Zhou et al. 2025). The cheapest strategy that is right
    with the probability `sure` answers; where none is, the one that most likely is. The
    calibration is an evaluation in which this strategy ran with `learn`, beside those that there
    are to choose from.

    Without a calibration, with one of fewer than 20 problems, and where the strategy that was
    chosen finds no answer, `of` answers.
    """

    title = "demand profiles"
    family = "sampling"
    source = "Zhou et al. 2025"
    needs = ("calibration",)

    sure: float = param(0.8, "a probability of being right that is enough", least=0, most=1)
    of: Strategy | None = of_param()
    rubric: str = param(RUBRIC, "scales, with what they mean", read=read_rubric)
    role: str = param("verifier", "who judges what a question demands")
    learn: bool = param(False, "only judge and answer by `of`, for a calibration")
    task: str = param("", "the name of the calibration; the question's own task unless given")

    @property
    def method(self) -> str:
        """Under what calibrations are kept: the spec, without what is decided by levels."""
        kept = ("of", "rubric", "role")
        own = {f.name: f.default for f in fields(self) if f.name not in kept}
        return replace(self, **own).spec

    @property
    def texts(self) -> int | None:
        """Among how many whole texts it chooses, if it only learns; None otherwise."""
        return self._of.texts if self.learn else None

    @property
    def _of(self) -> Strategy:
        return self.of or Greedy()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        errors: list[WeftError] = []
        told: dict[str, Any] = {"pick": "of"}
        if self.learn:
            answer = await self._answered(self._of, question, told, [])
            levels = await self._levels(question, errors)
            mean = fmean(levels.values()) if levels else 0.0
            scored = Scored(mean, answer.value, answer.text, levels)
            more = with_examples(self.method, [scored], beside=True)
            return _noted(answer, {"demands": levels, **more}, errors)
        known = find_calibration(
            self.method, question, task=self.task, least=_LEAST, instead="`of` answers"
        )
        profiles: Profiles = {} if known is None else _fitted(self, known)
        if not profiles:
            return await self._answered(self._of, question, told, errors)
        levels = await self._levels(question, errors)
        told["demands"] = levels
        pick = cheapest(profiles, levels, self.sure) if levels else SELF
        if pick == SELF:
            return await self._answered(self._of, question, told, errors)
        told |= {"pick": pick, "expected": round(profiles[pick].right(levels), 4)}
        try:
            answer = await self._answered(parse_strategy(pick), question, told, errors)
        except NO_RESULT as error:
            errors.append(error)
        else:
            if answer.value is not None or answer.abstained:
                return answer
        return await self._answered(self._of, question, told, errors)

    async def _levels(self, question: Question, errors: list[WeftError]) -> dict[str, float]:
        """What the question demands; nothing if nobody can say."""
        try:
            return dict(await demands_of(question, read_rubric(self.rubric), self.role))
        except NO_RESULT as error:
            errors.append(error)
            return {}

    async def _answered(
        self,
        chosen: Strategy,
        question: Question,
        told: Mapping[str, Any],
        errors: list[WeftError],
    ) -> Answer:
        """The answer of a strategy, with what was found before."""
        seed = stable_seed(question.seed, chosen.spec)
        return _noted(await chosen(replace(question, seed=seed)), told, errors)


def _noted(answer: Answer, told: Mapping[str, Any], errors: list[WeftError]) -> Answer:
    """An answer with more of how it came about."""
    details = {k: v for k, v in answer.details.items() if k != "failed"}
    details |= told
    note(details, errors)
    if "failed" in answer.details:
        details["failed"] = answer.details["failed"] + details.get("failed", 0)
    return replace(answer, details=details)


@lru_cache(maxsize=16)
def _fitted(strategy: ByDemands, known: Calibration) -> Profiles:
    """The profiles of strategies that are known here and choose by no demands themselves."""
    of = strategy.of or Greedy()

    def fits(spec: str) -> bool:
        if spec == SELF:  # its tokens have the judge's among them
            return all(of.spec not in one.beside for one in known.examples)
        try:
            return not any(isinstance(one, ByDemands) for one in nested(parse_strategy(spec)))
        except UsageError:  # a user's, who has not imported it here
            return False

    return fit_profiles(known.examples, fits)
