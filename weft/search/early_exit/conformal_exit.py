"""conformal_exit: thinking ends once an answer that is tried is surely enough the right one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from weft.errors import Unsupported
from weft.parts.parameters import param, temperature
from weft.programs import Completion, node
from weft.search.calibration.conformal import conformal_quantile, least_examples
from weft.search.calibration.examples import Scored, with_examples
from weft.search.calibration.kept import Calibration, find_calibration
from weft.search.early_exit.pieces import Pieces
from weft.search.early_exit.trials import TrialAnswer, think_with_trials
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import answered, collect
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import Confidence


async def _go_on(piece: Completion) -> None:
    """Thinking is not looked at."""


def _sure(completion: Completion) -> float:
    return Confidence().plus(completion.logprobs).score


FEATURES: dict[str, Callable[[TrialAnswer], float]] = {
    "answer": lambda trial: _sure(trial.asked),
    "agreement": lambda trial: trial.row / (trial.row + 1),
    "window": lambda trial: _sure(trial.thought),
}
"""What is seen of a trial, from 0 to 1: how sure the model is of the answer, how many trials in a
row gave it, and how sure the model was in the last piece of its thinking."""


@strategy("conformal_exit")
class ConformalExit(Strategy):
    """Thinking that ends at an answer that passes a conformal test (after LYNX, 2025).

    After every so many tokens of thinking, an answer is tried, as if thinking were over. The trial
    gets a score: the mean of what `by` names. Thinking ends if this score tells, by scores of
    earlier problems, that the answer is right and not wrong: if of the two only `right` is in the
    conformal prediction set. So of the problems in which a trial is wrong, a share of `miss` at
    most ends with a wrong trial, whatever the scores are like. Of each earlier problem the
    strangest trial counts, right and wrong; that makes the bound one for problems, not for trials.

    The scores come of a calibration, for the same model and task. `weft eval calibrate` makes one
    of an evaluation with `learn`: then all trials are made, and none ends the thinking. Without a
    calibration, or with one of too few problems, thinking comes to its own end, without trials.

    LYNX scores by hidden states, which no engine tells; here the score is of what can be seen.
    """

    title = "conformal exit"
    family = "early exit"
    source = "LYNX, 2025, on features that can be seen"
    needs = ("continuation", "thinking", "logprobs", "calibration")

    miss: float = param(
        0.1, "of problems with wrong trials, what share may end so", above=0, most=1
    )
    every: int = param(64, "tokens between two trials", least=1, main=True)
    by: str = param(
        "all", f"the score of a trial: all, {', '.join(FEATURES)}", choices=("all", *FEATURES)
    )
    learn: bool = param(False, "make all trials to the end, for a calibration")
    task: str = param("", "the name of the calibration; the question's own task unless given")
    final: str = param("", "what begins an answer that is tried")
    temperature: float = temperature()

    @property
    def method(self) -> str:
        """Under what calibrations are kept: the spec, without what is decided by scores."""
        decides = {f.name: f.default for f in fields(self) if f.name in ("miss", "learn", "task")}
        return replace(self, **decides).spec

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        exit = None if self.learn else self._exit(question)
        tried: list[Scored] = []

        def enough(trial: TrialAnswer) -> bool:
            score = self._score(trial)
            tried.append(Scored(score, trial.given.value, trial.given.text))
            return exit is not None and exit(score)

        @node
        async def think(index: int) -> Candidate:
            pieces = Pieces(question, self.temperature, index, self.name)
            if exit is None and not self.learn:
                every = pieces.most_thinking or self.every
                return pieces.candidate(await pieces.think(every, _go_on, self.final))
            return await think_with_trials(question, pieces, self.every, self.final, enough)

        drawn = await collect(think, 1)
        details: dict[str, Any] = {"trials": len(tried), "calibrated": exit is not None}
        if exit is not None:
            details["exited"] = bool(tried) and exit(tried[-1].score)
        if self.learn:
            details |= with_examples(self.method, tried)
        return answered(drawn, None, None, **details)

    def _score(self, trial: TrialAnswer) -> float:
        names = FEATURES if self.by == "all" else (self.by,)
        if self.by != "agreement" and "logprobs" in trial.asked.missing:
            raise Unsupported(
                f"{trial.asked.engine} reports no log-probabilities, by which {self.name} scores; "
                "use by=agreement, or an engine that reports them, such as vLLM"
            )
        return math.fsum(FEATURES[name](trial) for name in names) / len(names)

    def _exit(self, question: Question) -> Exit | None:
        known = find_calibration(
            self.method,
            question,
            task=self.task,
            least=least_examples(self.miss),
            right=False,
            instead="thinking comes to its own end",
        )
        return None if known is None else exit_of(known, self.miss)


@dataclass(frozen=True)
class Exit:
    """When thinking ends.

    Attributes:
        above: what the score of a wrong trial exceeds in too few problems to matter.
        least: what the score of a right trial is below in as few.
    """

    above: float
    least: float

    def __call__(self, score: float) -> bool:
        """Whether of right and wrong only `right` is in the prediction set."""
        return score > self.above and score >= self.least


def exit_of(known: Calibration, miss: float) -> Exit:
    """When thinking ends, so that at most a share `miss` of problems ends at a wrong trial.

    Args:
        known: trials of other problems. Of a problem the wrong one with the highest score counts,
            and the right one with the lowest.
        miss: the share.
    """
    wrong: dict[str, float] = {}
    right: dict[str, float] = {}
    for one in known.examples:
        if one.right is False:
            wrong[one.problem] = max(one.score, wrong.get(one.problem, -math.inf))
        elif one.right:
            right[one.problem] = min(one.score, right.get(one.problem, math.inf))
    least = -conformal_quantile([-score for score in right.values()], miss)
    return Exit(conformal_quantile([*wrong.values()], miss), least)
