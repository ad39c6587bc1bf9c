"""specreason: a small model writes steps, which a large one accepts or writes anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from weft.errors import BudgetExceeded
from weft.parts.parameters import param, temperature
from weft.programs import Completion
from weft.search.answers.failures import NO_RESULT
from weft.search.collaboration.shared_answer import SharedAnswer, in_steps
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import NO_TOKENS, read_verifier


@strategy("specreason")
class SpecReason(Strategy):
    """Steps of a small model, each graded by the large one (SpecReason, Pan et al. 2025).

    The small model, in the role `draft`, writes a step. The large model, the solver, grades the
    step from 0 to 9. With the grade `accept` or more the step stands, else the large model writes
    it anew. What follows the thinking is the large model's. A grade costs one token, and reading
    the step.

    Steps that are refused were paid for in vain: where the small model is often wrong, the large
    one alone may be quicker.

    If one of both models fails, the other one writes the step. A step that nobody could grade is
    written anew.
    """

    title = "SpecReason"
    family = "collaboration"
    source = "Pan et al. 2025"
    needs = ("draft", "verifier", "steps", "continuation")

    accept: float = param(7.0, "the grade of 9 from which on a step stands", least=0, main=True)
    verifier: str = param(
        "grade",
        "who grades: grade, by a digit of the solver, or another verifier, whose score from 0 to "
        "1 counts as 0 to 9",
        main=True,
        read=read_verifier,
    )
    first: int = param(0, "first steps that the large model writes anyway", least=0)
    every: int = param(512, "tokens of a step at most", least=1)
    think: bool = param(True, "ask for visible thinking, if the task has it")
    temperature: float = temperature(0.6)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        verifier = read_verifier(self.verifier)
        verifier.check(question)
        shared = SharedAnswer(question, self.temperature, self.name, think=self.think)
        asked = replace(question, prompt=(self.think and question.think) or question.prompt)
        accepted = refused = 0

        async def stands(drafted: Completion) -> bool:
            verifier.check_reported(drafted)
            confidence = NO_TOKENS.plus(drafted.logprobs)
            text = shared.text + drafted.prompt.text
            try:
                score = await verifier(asked, text, confidence)
            except NO_RESULT as error:
                shared.errors.append(error)
                return isinstance(error, BudgetExceeded)  # nor is there one to write it anew
            return round(9 * score, 6) >= self.accept

        async def step() -> Completion:
            nonlocal accepted, refused
            drafted = None
            if shared.steps >= self.first:
                drafted = await shared.tried(shared.step("draft", self.every))
            if drafted is not None:
                if await stands(drafted):
                    accepted += 1
                    return drafted
                refused += 1
            written = await shared.tried(shared.step("solver", self.every))
            return written or drafted or await shared.step("draft", self.every)

        def details() -> dict[str, Any]:
            counts = {"steps": shared.steps, "accepted": accepted, "refused": refused}
            return counts | dict(verifier.details)

        return await in_steps(shared, step, details)
