"""grade: a model grades the last step of an answer by one digit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from weft.parts.parameters import param
from weft.programs.calls.score import pool_texts
from weft.search.strategy import Question
from weft.search.verifiers.verifier import Confidence, Verifier, verifier

ASKED = (
    "Grade the last step of your answer so far. Look only at whether the step is right and "
    "follows from what stands before it, not at its style. Say one digit, from 0 for a step that "
    "is wrong or useless to 9 for one that is surely right."
)
_DIGITS = {str(digit): [str(digit), f" {digit}"] for digit in range(10)}


@verifier("grade")
class GradeVerifier(Verifier):
    """The digit that a model gives the last step, as a share of 9 (SpecReason 2025).

    The model sees the answer as its own, and is asked for a grade behind it. One token is
    generated, and what the model has read of the answer before lies in its cache. The digit is
    the likeliest one, or with `by=mean` the mean by the probabilities of all digits. A model that
    gives no digit any probability gives 0; `verdict_mass` in the details says how much it gives to
    all digits.
    """

    role: str = param("solver", "who is asked")
    by: str = param("likeliest", "the likeliest digit, or the mean", choices=("likeliest", "mean"))

    @property
    def asks(self) -> str:
        """`role`."""
        return self.role

    @cached_property
    def _masses(self) -> list[float]:
        return []

    @property
    def details(self) -> Mapping[str, Any]:
        """`verdict_mass`: the mean of the probability of all digits."""
        masses = self._masses
        return {"verdict_mass": round(math.fsum(masses) / len(masses), 6)} if masses else {}

    async def score(self, question: Question, text: str, confidence: Confidence) -> float:
        """Ask the model."""
        asked = question.prompt.assistant(text).user(ASKED).assistant("Grade:", open=True)
        found = await pool_texts(asked, _DIGITS, role=self.role)
        mass = min(1.0, math.fsum(found.values()))
        self._masses.append(mass)
        if not mass:
            return 0.0
        if self.by == "mean":
            return sum(int(digit) * share for digit, share in found.items()) / mass / 9
        return int(max(found, key=lambda digit: found[digit])) / 9
