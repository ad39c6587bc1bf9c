"""compute_optimal: a strategy for each question, by how difficult a probe finds it."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache

from weft.errors import UsageError
from weft.parts.parameters import param
from weft.search.answers.failures import NO_RESULT, note
from weft.search.calibration.examples import Scored, with_examples
from weft.search.calibration.kept import Calibration, Example, find_calibration
from weft.search.calibration.table import SELF, PolicyTable, fit_table
from weft.search.needs import nested
from weft.search.sampling.votes.majority import Majority
from weft.search.strategy import Answer, Question, Strategy, parse_strategy, stable_seed, strategy

_LEAST = 20


@strategy("compute_optimal")
class ComputeOptimal(Strategy):
    """A strategy for each question by its difficulty, for the tokens there are (Snell 2024).

    A probe answers the question first. The score of its answer tells the difficulty: by default
    the share of a vote of four. A table then says with which strategy to go on, or that the
    probe's answer is good enough. The table is fitted to a calibration: to an evaluation in which
    this strategy ran with `learn`, beside those that there are to choose from. Of all tables with
    `bins` bins of difficulty, it is the one with most right answers for `tokens` tokens a
    question in the mean.

    Without a calibration, or with one of fewer than 20 problems, the probe's answer is the answer.
    It is, too, where the strategy that was chosen finds none.
    """

    title = "compute-optimal table"
    family = "sampling"
    source = "Snell et al. 2024"
    needs = ("calibration",)

    tokens: int = param(
        2000, "that engines compute for a question, in the mean; the probe's included", least=1
    )
    probe: Strategy | None = param(
        None, "what tells the difficulty; majority(n=4) unless given", kind=Strategy
    )
    bins: int = param(5, "of difficulty, at most", least=1)
    learn: bool = param(False, "only probe, for a calibration")
    task: str = param("", "the name of the calibration; the question's own task unless given")

    @property
    def method(self) -> str:
        """Under what calibrations are kept: the spec, without what is decided by scores."""
        own = {f.name: f.default for f in fields(self) if f.name != "probe"}
        return replace(self, **own).spec

    @property
    def texts(self) -> int | None:
        """Among how many whole texts it chooses, if it only probes; None otherwise."""
        return self._probe.texts if self.learn else None

    @property
    def _probe(self) -> Strategy:
        return self.probe or Majority(n=4, stop_early=False)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        first = await self._probe(replace(question, seed=stable_seed(question.seed, "probe")))
        score = first.score or 0.0
        probed = {**first.details, "difficulty": score, "pick": "probe"}
        if self.learn:
            scored = Scored(score, first.value, first.text)
            probed |= with_examples(self.method, [scored], beside=True)
            return replace(first, details=probed)
        known = find_calibration(
            self.method,
            question,
            task=self.task,
            least=_LEAST,
            instead="the probe's answer is taken",
        )
        pick = SELF if known is None else _fitted(self, known).pick(score)
        if pick == SELF or "budget" in probed:
            return replace(first, details=probed)
        chosen = parse_strategy(pick)
        try:
            answer = await chosen(replace(question, seed=stable_seed(question.seed, "pick")))
        except NO_RESULT as error:
            note(probed, [error])
            return replace(first, details=probed)
        details = {**answer.details, "difficulty": score, "pick": pick}
        if "failed" in first.details:
            details["failed"] = first.details["failed"] + details.get("failed", 0)
        found = answer.value is not None or answer.abstained
        return replace(answer if found else first, details=details)


@lru_cache(maxsize=16)
def _fitted(strategy: ComputeOptimal, known: Calibration) -> PolicyTable:
    """The table, of strategies that are known here and have no table in them."""

    def fits(spec: str) -> bool:
        if spec == SELF:
            return True
        try:
            return not any(isinstance(one, ComputeOptimal) for one in nested(parse_strategy(spec)))
        except UsageError:  # a user's, who has not imported it here
            return False

    specs = {spec for one in known.examples for spec in one.beside}
    taken = {spec for spec in specs if fits(spec)}
    examples: list[Example] = [
        replace(one, beside={s: given for s, given in one.beside.items() if s in taken})
        for one in known.examples
    ]
    return fit_table(examples, strategy.tokens, strategy.bins)
