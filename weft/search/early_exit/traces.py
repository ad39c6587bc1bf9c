"""Traces: whole answers, thinking included, with the confidence that the model had in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.errors import Unsupported
from weft.parts.parameters import param
from weft.programs import Completion, generate, node
from weft.search.answers.voting import Tally
from weft.search.early_exit.confidence import ALTERNATIVES
from weft.search.sampling.drawing import Candidate, Draw
from weft.search.sampling.samples import Drawn, answered, unscored
from weft.search.strategy import Answer, Question, stable_seed
from weft.types import TokenLogprob


def window_param() -> Any:
    """The parameter that says how long the groups of tokens are."""
    return param(2048, "tokens in a group, whose confidence is their mean", least=1)


def keep_param() -> Any:
    """The parameter that says how many traces vote."""
    return param(0.9, "the share of traces, the most confident ones, that vote", above=0, most=1)


def tracer(
    question: Question,
    temperature: float,
    *,
    think: bool,
    confidence: Callable[[Sequence[TokenLogprob]], float],
    needed_by: str,
) -> Draw:
    """A node that draws the trace of an index, with its confidence as its score.

    Args:
        question: what to answer.
        temperature: of sampling; 0 is greedy.
        think: ask for visible thinking, if the task has a prompt for it.
        confidence: of a trace's tokens.
        needed_by: the strategy that needs log-probabilities.
    """
    prompt, most = question.prompt, question.max_tokens
    if think and question.think is not None:
        prompt = question.think
        most = None if most is None else most + question.max_think_tokens

    @node
    async def trace(index: int) -> Candidate:
        completion = await generate(
            prompt,
            max_tokens=most,
            temperature=temperature,
            top_p=question.top_p,
            stop=question.stop,
            schema=question.schema,
            seed=stable_seed(question.seed, index),
            logprobs=ALTERNATIVES,
            index=index,
            **question.sampling,
        )
        check_reported(completion, needed_by)
        return Candidate(
            index,
            completion.text,
            question.read(completion),
            completion.usage.completion,
            completion.whole,
            score=confidence(completion.logprobs),
        )

    return trace


def check_reported(completion: Completion, needed_by: str) -> None:
    """Raise unless an answer came with log-probabilities.

    Raises:
        Unsupported: the engine reports none.
    """
    if "logprobs" in completion.missing:
        raise Unsupported(
            f"{completion.engine} reports no log-probabilities, which {needed_by} needs; use "
            "majority, or an engine that reports them, such as vLLM"
        )


def most_confident(
    question: Question, drawn: Drawn, count: Tally, floor: float, **details: Any
) -> Answer:
    """The Answer of a vote by confidence: that of the winner's most confident trace.

    Where nobody votes, or engines tell of no alternatives, all traces have one vote each.

    Args:
        question: what was asked.
        drawn: the traces.
        count: of the votes.
        floor: the confidence below which no trace votes.
        details: for `Answer.details`.
    """
    details["floor"] = round(floor, 6)
    details["below"] = sum((s.score or 0.0) < floor for s in drawn.found.values())
    if count.winner is None or not count.winner.weight:
        answer = unscored(question, drawn)
        return Answer(answer.text, answer.value, answer.score, answer.details | details)
    best = max(count.winner.members, key=lambda i: drawn.found[i].score or 0.0)
    details["votes"] = {c.value: round(c.weight, 6) for c in count.clusters}
    return answered(drawn, drawn.found[best], count.share, **details)
