"""Strategies of sampling over a user's node: its results are the samples."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import isawaitable
from math import isfinite
from operator import eq
from typing import Any, Generic, TypeVar

from weft.errors import OutputError, UsageError
from weft.programs import Prompt
from weft.search.sampling.best_of_n import BestOfN
from weft.search.sampling.votes.majority import Majority
from weft.search.strategy import Answer, Question, Strategy, parse_strategy

T = TypeVar("T")
Attempt = Callable[..., Awaitable[T | None]]
Score = Callable[[T], "float | Awaitable[float]"]


@dataclass(frozen=True)
class Chosen(Generic[T]):
    """What a strategy chose among the results of a node.

    Attributes:
        value: the result; None if there is none.
        score: what `by` gave it, or the share of the vote; None without either.
        votes: where results voted, each different one with its votes, earliest first.
        details: what the strategy did; see `Answer.details`.
    """

    value: T | None
    score: float | None
    votes: tuple[tuple[T, float], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def best_of(
    attempt: Attempt[T], *args: Any, n: int = 8, by: Score[T], enough: float | None = 1.0
) -> Chosen[T]:
    """The result that scores highest of n attempts.

    Each is scored as soon as it is there, while others still run. Of equal scores the earliest
    attempt's wins.

    Args:
        attempt: a node, or another async function. Its calls should sample, at a temperature
            above 0. None stands for no result.
        args: what it is called with.
        n: how many attempts.
        by: scores a result from 0 to 1, such as the share of tests that pass; may be async.
        enough: a score with which the other attempts are cancelled; None waits for all.

    Raises:
        UsageError: a parameter or a score is out of range.
        EngineError: all attempts failed, the first with this error.
    """
    return await choose(BestOfN(n=n, verifier="function", enough=enough), attempt, *args, by=by)


async def majority_of(
    attempt: Attempt[T], *args: Any, n: int = 8, same: Callable[[T, T], bool] = eq
) -> Chosen[T]:
    """The most frequent result of n attempts; those that can't change it are cancelled.

    Args:
        attempt: a node, or another async function; None stands for no result.
        args: what it is called with.
        n: how many attempts.
        same: whether two results are the same.

    Raises:
        UsageError: n is out of range.
        EngineError: all attempts failed, the first with this error.
    """
    return await choose(Majority(n=n), attempt, *args, same=same)


async def choose(
    strategy: str | Strategy,
    attempt: Attempt[T],
    *args: Any,
    by: Score[T] | None = None,
    same: Callable[[T, T], bool] = eq,
) -> Chosen[T]:
    """What a strategy of sampling chooses, where an attempt's result is a sample.

    An attempt whose calls fail, are refused by a budget, or give no answer of the type asked
    for, is a sample less. Any other exception ends all.

    Args:
        strategy: one with `of`, or its spec: `majority(n=8, confidence=0.95)`. One with a verifier
            needs `verifier=function`, which is `by`.
        attempt: a node, or another async function; None stands for no result.
        args: what it is called with.
        by: scores a result from 0 to 1; may be async.
        same: whether two results are the same, for votes.

    Raises:
        UsageError: the strategy draws no samples, or a score is out of range.
        EngineError: all attempts failed, the first with this error.
    """
    results: list[tuple[T, float]] = []

    async def solve() -> Answer:
        try:
            result = await attempt(*args)
        except OutputError:
            return Answer(None, None, details={"failed": 1})
        if result is None:
            return Answer(None, None)
        score = 0.0 if by is None else await _scored(by, result)
        results.append((result, score))
        key = str(len(results) - 1)
        return Answer(key, key)

    question = Question(
        Prompt.user("attempt"),
        answer=lambda text: None,
        complete=lambda text: False,
        check=None if by is None else lambda key: results[int(key)][1],
        same=lambda a, b: bool(same(results[int(a)][0], results[int(b)][0])),
    )
    # Not by calling the strategy: the node's exceptions are not the strategy's fault.
    answer = await _over(parse_strategy(strategy), _Attempts(solve)).solve(question)
    votes: Mapping[str, float] = answer.details.pop("votes", {})
    return Chosen(
        None if answer.value is None else results[int(answer.value)][0],
        answer.score,
        tuple((results[int(key)][0], weight) for key, weight in votes.items()),
        answer.details,
    )


@dataclass(frozen=True)
class _Attempts(Strategy):
    """A node as a strategy: its answers are the places of its results."""

    name = "attempts"

    attempt: Any = field(default=None, metadata={"kind": object})

    async def __call__(self, question: Question) -> Answer:
        """Make an attempt; its exceptions are raised as they are."""
        return await self.solve(question)

    async def solve(self, question: Question) -> Answer:
        """Make an attempt."""
        return await self.attempt()


def _over(strategy: Strategy, attempts: _Attempts) -> Strategy:
    """The strategy, the innermost of those that are nested in it over attempts."""
    if not any(p.name == "of" for p in strategy.parameters()):
        raise UsageError(
            f"{strategy.name} draws no samples that could be a node's results; use a strategy with "
            "the parameter `of`, such as majority"
        )
    given: Any = strategy
    within: Strategy | None = given.of
    return replace(given, of=attempts if within is None else _over(within, attempts))


async def _scored(by: Score[T], result: T) -> float:
    given = by(result)
    score: Any = await given if isawaitable(given) else given
    if not isinstance(score, int | float) or not isfinite(score) or not 0 <= score <= 1:
        raise UsageError(
            f"`by` gave the score {score!r}; give a number from 0 to 1, such as the share of tests "
            "that pass"
        )
    return float(score)
