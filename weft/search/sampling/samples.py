"""Drawing independent samples of a question: what all sampling strategies share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from weft.errors import WeftError
from weft.programs import fan_out, generate, node
from weft.search.failures import NO_RESULT, note
from weft.search.strategy import Answer, Question, stable_seed
from weft.search.verifiers import NO_TOKENS, Verifier
from weft.search.voting import tally


@dataclass(frozen=True)
class Candidate:
    """One whole answer.

    Attributes:
        index: which sample it is.
        text: the answer, without the thinking before it.
        value: the answer read from it, if there is one.
        tokens: how many were generated.
        ended: the model ended it; False where it was cut off, or failed.
        score: by a verifier, if one was asked and could answer.
        error: why it could not.
    """

    index: int
    text: str
    value: str | None
    tokens: int
    ended: bool
    score: float | None = None
    error: WeftError | None = None


Draw = Callable[[int], Awaitable[Candidate]]
Found = dict[int, Candidate]


def drawer(
    question: Question,
    temperature: float,
    *,
    think: bool = False,
    verifier: Verifier | None = None,
) -> Draw:
    """A node that draws the sample of an index, and scores it as soon as it is there.

    Args:
        question: what to answer.
        temperature: of sampling; 0 is greedy.
        think: ask for visible thinking, if the task has a prompt for it.
        verifier: who scores; samples without an answer are not scored.
    """
    if verifier is not None:
        verifier.check(question)
    thinks = think and question.think is not None
    prompt = question.think if thinks and question.think is not None else question.prompt
    most = question.max_tokens
    if thinks and most is not None:
        most += question.max_think_tokens

    @node
    async def draw(index: int) -> Candidate:
        completion = await generate(
            prompt,
            max_tokens=most,
            temperature=temperature,
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
        text = completion.text
        sample = Candidate(
            index,
            text,
            question.read(completion),
            completion.usage.completion,
            completion.whole,
        )
        if verifier is None or sample.value is None:
            return sample
        confidence = NO_TOKENS.plus(completion.logprobs)
        try:
            return replace(sample, score=await verifier(question, text, confidence))
        except NO_RESULT as error:
            return replace(sample, error=error)

    return draw


@dataclass
class Drawn:
    """What became of n samples.

    Attributes:
        found: samples by index, in the order in which they finished.
        missing: indices of those that a budget refused, or that failed.
        errors: why samples are missing, or have no score.
    """

    found: Found = field(default_factory=dict[int, Candidate])
    missing: set[int] = field(default_factory=set[int])
    errors: list[WeftError] = field(default_factory=list[WeftError])


async def collect(
    draw: Draw,
    n: int,
    enough: Callable[[Drawn, int], bool] = lambda drawn, index: False,
    *,
    quorum: int | None = None,
    counts: Callable[[Candidate], bool] = lambda sample: True,
) -> Drawn:
    """Draw n samples at once, until all are there or missing, or enough are there.

    Args:
        draw: draws the sample of an index.
        n: how many.
        enough: whether the rest can be cancelled; asked after each sample, with its index.
        quorum: how many samples that count are enough; None draws all.
        counts: whether a sample counts.
    """
    drawn = Drawn()

    async def attempt(index: int) -> tuple[int, Candidate | WeftError]:
        try:
            return index, await draw(index)
        except NO_RESULT as error:
            return index, error

    async with fan_out(attempt, range(n), quorum=quorum) as results:
        async for index, result in results:
            if quorum is not None and not (isinstance(result, Candidate) and counts(result)):
                results.quorum += 1
            if isinstance(result, Candidate):
                drawn.found[index] = result
                error = result.error
            else:
                drawn.missing.add(index)
                error = result
            if error is not None:
                drawn.errors.append(error)
            if enough(drawn, index):
                break
    return drawn


def answered(drawn: Drawn, chosen: Candidate | None, score: float | None, **details: Any) -> Answer:
    """The Answer that gives `chosen`, or the earliest sample where none could be chosen.

    A sample that can be read comes before one that can't.

    Raises:
        EngineError: there is no sample, and that is for the engines' failures.
    """
    found = drawn.found
    details["samples"] = len(found)
    details["unparsable"] = sum(s.value is None for s in found.values())
    note(details, drawn.errors)
    if chosen is None and found:
        chosen = found[min(found, key=lambda index: (found[index].value is None, index))]
    if chosen is None:
        if "budget" not in details and drawn.errors:
            raise drawn.errors[0]
        return Answer(None, None, None, details)
    return Answer(chosen.text, chosen.value, score, details)


def voted(question: Question, drawn: Drawn, **details: Any) -> Answer:
    """The Answer of a plain vote; its score is the winner's share."""
    found = drawn.found
    count = tally({i: s.value for i, s in found.items()}, same=question.same)
    chosen = found[count.winner.members[0]] if count.winner else None
    details["votes"] = {c.value: len(c.members) for c in count.clusters}
    return answered(drawn, chosen, count.share if chosen else None, **details)
