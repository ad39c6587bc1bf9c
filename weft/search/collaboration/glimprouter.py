"""glimprouter: a small model's first token says who writes a step."""

from __future__ import annotations

from weft.parts.parameters import param, temperature
from weft.programs import Completion
from weft.programs.watching import watching
from weft.search.collaboration.glimpse import TOP, Glimpse
from weft.search.collaboration.shared_answer import SharedAnswer, in_steps
from weft.search.early_exit.traces import check_reported
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("glimprouter")
class GlimpRouter(Strategy):
    """Steps by the small or the large model, as the small one is sure (GlimpRouter 2026).

    The small model, in the role `draft`, begins each step. If the entropy of its first token is
    `tau` or less, the small model writes the step. Else it is stopped there, and the large model,
    the solver, writes the step. What follows the thinking is the large model's.

    The lower `tau`, the more steps are the large model's. In the paper 1.8 gives it 2% of them,
    and 0.01 gives it 83%; 20 to 30% are good. The entropy is of the model's own distribution,
    whatever the temperature.

    If one of both models fails, the other one writes the step.
    """

    title = "GlimpRouter"
    family = "collaboration"
    source = "GlimpRouter 2026, arXiv 2601.05110"
    needs = ("draft", "steps", "continuation", "logprobs")

    tau: float = param(1.0, "entropy, in nats, up to which the small model is sure", main=True)
    every: int = param(512, "tokens of a step at most", least=1)
    think: bool = param(True, "ask for visible thinking, if the task has it")
    temperature: float = temperature(0.6)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        shared = SharedAnswer(question, self.temperature, self.name, think=self.think)
        handed = 0

        async def step() -> Completion:
            nonlocal handed
            with watching(Glimpse(self.tau)):
                drafted = await shared.tried(shared.step("draft", self.every, logprobs=TOP))
            if drafted is not None:
                check_reported(drafted, self.name)
                if drafted.finish_reason != "cut":
                    return drafted
            handed += 1
            written = await shared.tried(shared.step("solver", self.every))
            return written or await shared.step("draft", self.every)

        return await in_steps(shared, step, lambda: {"steps": shared.steps, "handed_over": handed})
