"""Drawing one sample of a question: from the model or from another strategy, and its score."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from weft.errors import UsageError, WeftError
from weft.parts.parameters import param
from weft.programs import generate, node
from weft.programs.scope.hearing import hearing
from weft.search.answers.failures import NO_RESULT
from weft.search.sampling.step_scores import step_score
from weft.search.strategy import Question, Strategy, stable_seed
from weft.search.verifiers import Verifier
from weft.types import TokenLogprob


@dataclass(frozen=True)
class Candidate:
    """One whole answer.

    Attributes:
        index: which sample it is.
        text: the answer, without the thinking before it; empty if a strategy gave none.
        value: the answer read from it, if there is one.
        tokens: how many were generated.
        ended: the model ended it; False where it was cut off, or failed.
        score: by a verifier, if one was asked and could answer.
        error: why it could not.
        reasoning: the thinking before the answer.
        within: the details of a strategy's answer, if it is one.
    """

    index: int
    text: str
    value: str | None
    tokens: int
    ended: bool
    score: float | None = None
    error: WeftError | None = None
    reasoning: str = ""
    within: Mapping[str, Any] | None = None


Draw = Callable[[int], Awaitable[Candidate]]
Heat = Callable[[int], float]
"""The temperature of the sample of an index."""


def drawer(
    question: Question,
    temperature: float | Heat,
    *,
    think: bool = False,
    verifier: Verifier | None = None,
    aggregate: str = "last",
    of: Strategy | None = None,
) -> Draw:
    """A node that draws the sample of an index, and scores it as soon as it is there.

    Args:
        question: what to answer.
        temperature: of sampling, or of the sample of an index; 0 is greedy.
        think: ask for visible thinking, if the task has a prompt for it.
        verifier: who scores; samples without an answer are not scored.
        aggregate: how the scores of a sample's steps become its score.
        of: whose answers are the samples; the model's own if None. It then decides on
            temperature and thinking.

    Raises:
        UsageError: the verifier can't score such samples.
    """
    if verifier is not None:
        verifier.check(question)
        if of is not None and verifier.logprobs is not None:
            raise UsageError(
                f"verifier={verifier.spec} reads log-probabilities, which answers of {of.name} "
                "don't have; use another verifier"
            )
    sampled = _from_model(question, temperature, think, verifier)
    if of is not None:
        sampled = _from_strategy(question, of)

    @node
    async def draw(index: int) -> Candidate:
        sample, logprobs = await sampled(index)
        if verifier is None or sample.value is None:
            return sample
        try:
            score = await step_score(verifier, question, sample.text, logprobs, aggregate)
            return replace(sample, score=score)
        except NO_RESULT as error:
            return replace(sample, error=error)

    return draw


def hedge_param(default: bool = False) -> Any:
    """The parameter of strategies whose first sample may be greedy."""
    return param(default, "the first sample is greedy")


def hedged(temperature: float, hedge: bool) -> Heat:
    """The first sample is greedy, so that no pool is worse than a greedy answer for its best.

    Hedged sampling: Khairi et al. 2025. Without `hedge` all have the same temperature.
    """
    return lambda index: 0.0 if hedge and index == 0 else temperature


def annealed(temperature: float) -> Heat:
    """The first sample is greedy, the i-th after it has 1 - 2^-i of the temperature."""
    return lambda index: temperature * (1 - 2.0**-index)


_Sampled = Callable[[int], Awaitable[tuple[Candidate, Sequence[TokenLogprob]]]]


def _from_model(
    question: Question, temperature: float | Heat, think: bool, verifier: Verifier | None
) -> _Sampled:
    """Samples that the model writes."""
    thinks = think and question.think is not None
    prompt = question.think if thinks and question.think is not None else question.prompt
    most = question.max_tokens
    if thinks and most is not None:
        most += question.max_think_tokens

    async def sampled(index: int) -> tuple[Candidate, Sequence[TokenLogprob]]:
        completion = await generate(
            prompt,
            max_tokens=most,
            temperature=temperature(index) if callable(temperature) else temperature,
            top_p=question.top_p,
            stop=question.stop,
            schema=question.schema,
            seed=stable_seed(question.seed, index),
            logprobs=verifier.logprobs if verifier else None,
            index=index,
            **question.sampling,
        )
        if verifier is not None:
            verifier.check_reported(completion)
        sample = Candidate(
            index,
            completion.text,
            question.read(completion),
            completion.usage.completion,
            completion.whole,
            reasoning=completion.reasoning,
        )
        return sample, completion.logprobs

    return sampled


def _from_strategy(question: Question, of: Strategy) -> _Sampled:
    """Samples that are the answers of a strategy, each with chance of its own."""

    async def sampled(index: int) -> tuple[Candidate, Sequence[TokenLogprob]]:
        seed = stable_seed(question.seed, "of", index)
        with hearing() as heard:
            answer = await of(replace(question, seed=seed))
        tokens = sum(one.outcome.usage.completion for one in heard)
        details = answer.details
        ended = "budget" not in details and "broken_off" not in details
        return Candidate(index, answer.text or "", answer.value, tokens, ended, within=details), ()

    return sampled
