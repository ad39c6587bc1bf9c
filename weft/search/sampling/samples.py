"""Drawing independent samples of a question: what all sampling strategies share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from weft.errors import UsageError, WeftError
from weft.parts.parameters import param
from weft.programs import fan_out, generate, node
from weft.programs.scope.hearing import hearing
from weft.search.answers.failures import NO_RESULT, note
from weft.search.answers.voting import Tally, tally
from weft.search.sampling.nesting import note_within
from weft.search.sampling.step_scores import step_score
from weft.search.strategy import Answer, Question, Strategy, stable_seed
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
Found = dict[int, Candidate]


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
    _next: int = 0

    def add(self, index: int, result: Candidate | WeftError) -> None:
        """Keep what became of a sample."""
        if isinstance(result, Candidate):
            self.found[index] = result
            error = result.error
        else:
            self.missing.add(index)
            error = result
        if error is not None:
            self.errors.append(error)

    def value(self, index: int) -> str | None:
        """The answer of a sample; None if it has none, or is missing."""
        return self.found[index].value if index in self.found else None

    def in_order(self) -> Iterator[int]:
        """The samples before which all others have come, each given once."""
        while self._next in self.found or self._next in self.missing:
            self._next += 1
            yield self._next - 1


async def collect(
    draw: Draw,
    n: int,
    enough: Callable[[Drawn, int], bool] = lambda drawn, index: False,
    *,
    limit: int | None = None,
    quorum: int | None = None,
    counts: Callable[[Candidate], bool] = lambda sample: True,
    drawn: Drawn | None = None,
) -> Drawn:
    """Draw n samples, until all are there or missing, or enough are there.

    Args:
        draw: draws the sample of an index.
        n: how many.
        enough: whether the rest can be cancelled; asked after each sample, with its index.
        limit: how many are drawn at once; None draws all.
        quorum: how many samples that count are enough; None draws all.
        counts: whether a sample counts.
        drawn: the first of the n, if they are there already; the others are added.
    """
    drawn, over, votes = drawn or Drawn(), False, 0
    left = range(len(drawn.found) + len(drawn.missing), n)
    # Handed out as samples start, which trio does in an order of its own.
    indices = iter(left)

    async def attempt(_: int) -> None:
        # What follows from a sample is decided before the next one starts.
        nonlocal over, votes
        if over:
            return
        index = next(indices)
        try:
            result = await draw(index)
        except NO_RESULT as error:
            result = error
        if over:
            return
        drawn.add(index, result)
        if quorum is not None:
            useful = isinstance(result, Candidate) and counts(result)
            votes += useful
            results.quorum += not useful
        over = votes == quorum or enough(drawn, index)

    async with fan_out(attempt, left, limit=limit, quorum=quorum) as results:
        async for _ in results:
            if over:
                break
    return drawn


def answered(drawn: Drawn, chosen: Candidate | None, score: float | None, **details: Any) -> Answer:
    """The Answer that gives `chosen`, or the earliest sample where none could be chosen.

    A sample that can be read comes before one that can't.

    Raises:
        EngineError: there is no sample, and that is for the engines' failures.
    """
    found = drawn.found
    _tell(drawn, details)
    if chosen is None and found:
        chosen = found[min(found, key=lambda i: (found[i].value is None, not found[i].text, i))]
    if chosen is None:
        if "budget" not in details and drawn.errors:
            raise drawn.errors[0]
        return Answer(None, None, None, details)
    text = chosen.text if chosen.within is None else chosen.text or None
    return Answer(text, chosen.value, score, details)


def abstaining(drawn: Drawn, **details: Any) -> Answer:
    """The Answer that gives none on purpose, whatever there is and whatever failed."""
    _tell(drawn, details)
    return Answer(None, None, None, details | {"abstained": True})


def _tell(drawn: Drawn, details: dict[str, Any]) -> None:
    """Say what became of the samples."""
    found = drawn.found
    details["samples"] = len(found)
    details["unparsable"] = sum(s.value is None for s in found.values())
    note(details, drawn.errors)
    note_within(details, [found[i].within or {} for i in sorted(found)])


def voted(drawn: Drawn, count: Tally, **details: Any) -> Answer:
    """The Answer of a plain vote; its score is the winner's share."""
    chosen = drawn.found[count.winner.members[0]] if count.winner else None
    details["votes"] = {c.value: len(c.members) for c in count.clusters}
    return answered(drawn, chosen, count.share if chosen else None, **details)


def unscored(question: Question, drawn: Drawn) -> Answer:
    """The Answer where no sample has a score: that of a plain vote."""
    count = tally({i: s.value for i, s in drawn.found.items()}, same=question.same)
    return voted(drawn, count, scored=0)
