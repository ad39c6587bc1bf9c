"""Drawing independent samples of a question: what all sampling strategies share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from weft.errors import BudgetExceeded
from weft.programs import fan_out, generate, node
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
    """

    index: int
    text: str
    value: str | None
    tokens: int
    ended: bool
    score: float | None = None


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
        try:
            confidence = NO_TOKENS.plus(completion.logprobs)
            return replace(sample, score=await verifier.score(question, text, confidence))
        except BudgetExceeded as over:
            raise Unscored(over, sample) from None

    return draw


class Unscored(BudgetExceeded):
    """The budget was enough for a sample, but not for scoring it."""

    def __init__(self, over: BudgetExceeded, sample: Candidate) -> None:
        super().__init__(over.resource, over.limit, over.spent)
        self.sample = sample


async def collect(
    draw: Draw, n: int, enough: Callable[[Found], bool] = lambda _: False
) -> tuple[Found, str | None]:
    """Draw n samples at once, until all are there, enough are, or a budget runs out.

    Args:
        draw: draws the sample of an index.
        n: how many.
        enough: whether the rest can be cancelled; asked after each sample.

    Returns:
        The samples by index, in the order in which they finished; and the resource that ran
        out, if one did.
    """
    found: Found = {}
    over: list[str] = []

    async def attempt(index: int) -> Candidate:
        try:
            return await draw(index)
        except Unscored as error:
            over.append(error.resource)
            return error.sample

    try:
        async with fan_out(attempt, range(n)) as results:
            async for sample in results:
                found[sample.index] = sample
                if enough(found):
                    break
    except BudgetExceeded as error:
        over.append(error.resource)
    return found, over[0] if over else None


def answered(
    found: Found, chosen: Candidate | None, score: float | None, budget: str | None, **details: Any
) -> Answer:
    """The Answer that gives `chosen`, or the earliest sample where none could be chosen."""
    details["samples"] = len(found)
    details["unparsable"] = sum(s.value is None for s in found.values())
    if budget is not None:
        details["budget"] = budget
    if chosen is None and found:
        chosen = found[min(found)]
    if chosen is None:
        return Answer(None, None, None, details)
    return Answer(chosen.text, chosen.value, score, details)


def voted(found: Found, budget: str | None, **details: Any) -> Answer:
    """The Answer of a plain vote; its score is the winner's share."""
    count = tally({i: s.value for i, s in found.items()})
    chosen = found[count.winner.members[0]] if count.winner else None
    details["votes"] = {c.value: len(c.members) for c in count.clusters}
    return answered(found, chosen, count.share if chosen else None, budget, **details)
