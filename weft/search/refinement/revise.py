"""revise: one answer after another, each written with sight of those before."""

from __future__ import annotations

from weft.parts.parameters import param, temperature
from weft.programs import generate, node
from weft.search.answers.failures import NO_RESULT
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import Drawn, answered, collect, unscored
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy
from weft.search.verifiers import Confidence, read_verifier, verifier_param

_AGAIN = (
    "This may be wrong. Look for the mistake, and write the whole answer to my request again, in "
    "the same form."
)


@strategy("revise")
class Revise(Strategy):
    """Sequential revisions: n answers, of which each is written with sight of those before it.

    The verifier scores each answer, and the best is given, of equals the earliest. With `enough`
    the revisions end with the first that scores so much. At most `memory` answers are shown, the
    latest; up to there a conversation only grows, and lies in the engine's cache. It is the
    opposite of drawing n answers side by side (Snell et al. 2024); `switch` measures which is
    better for a task.
    """

    title = "sequential revision"
    family = "search"
    source = "Snell et al. 2024"
    needs = ("verifier",)

    n: int = param(4, "answers", least=1, main=True)
    verifier: str = verifier_param()
    enough: float | None = param(
        None,
        "a score that ends revising; all are written unless given",
        above=0,
        most=1,
        kind=float,
    )
    memory: int = param(4, "answers that a revision sees", least=1)
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        verifier = read_verifier(self.verifier)
        verifier.check(question)
        written: list[str] = []

        @node
        async def write(index: int) -> Candidate:
            prompt = question.prompt
            for text in written[-self.memory :]:
                prompt = prompt.assistant(text).user(_AGAIN)
            completion = await generate(
                prompt,
                max_tokens=question.max_tokens,
                temperature=self.temperature,
                top_p=question.top_p,
                stop=question.stop,
                schema=question.schema,
                seed=stable_seed(question.seed, index),
                logprobs=verifier.logprobs,
                index=index,
                **question.sampling,
            )
            verifier.check_reported(completion)
            text, value = completion.text, question.read(completion)
            if value is not None:
                written.append(text)
            score = error = None
            if value is not None:
                try:
                    sure = Confidence().plus(completion.logprobs)
                    score = await verifier(question, text, sure)
                except NO_RESULT as failed:
                    error = failed
            tokens = completion.usage.completion
            return Candidate(index, text, value, tokens, completion.whole, score, error)

        def enough(drawn: Drawn, index: int) -> bool:
            score = drawn.found[index].score if index in drawn.found else None
            return self.enough is not None and score is not None and score >= self.enough

        drawn = await collect(write, self.n, enough, limit=1)
        scored = [s for _, s in sorted(drawn.found.items()) if s.score is not None]
        if not scored:
            return unscored(question, drawn)
        best = max(scored, key=lambda s: s.score or 0.0)
        return answered(drawn, best, best.score, scored=len(scored), **verifier.details)
