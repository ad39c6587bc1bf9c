"""score: how likely a model finds given continuations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from weft.concurrency import TaskGroup
from weft.errors import UsageError
from weft.programs.calls import call
from weft.programs.prompt import Prompt
from weft.programs.scope import Scope, current
from weft.types import Sampling

_ONE = Sampling(max_tokens=1, temperature=0.0)


async def score(
    prompt: Prompt, options: Sequence[str], *, role: str = "verifier"
) -> dict[str, float]:
    """The probability with which the model would continue `prompt` by each option.

    An option's probability is that of its tokens one after another; what may follow is left
    open. The probabilities are the model's own and need not add up to 1: divide by their sum
    to compare the options among themselves.

    Each position asked about costs one generated token, and the prompt is found in the
    engine's prefix cache; options that begin alike share their beginning's cost. Engines that
    take no tokens are asked for the alternatives to the first token only, so there an option
    must be a single token.

    Args:
        prompt: the conversation; an open answer is continued.
        options: different, non-empty texts.
        role: which of the pool's models judges.

    Returns:
        For each option its probability, from 0 to 1.

    Raises:
        UsageError: no options, equal ones or an empty one; or the engine can't score.
        BudgetExceeded: a budget in force is used up.
        EngineError: no engine could answer.
    """
    scope = current()
    options = tuple(options)
    if not options or "" in options or len(set(options)) < len(options):
        raise UsageError(f"options={list(options)} must be different, non-empty texts")
    model = scope.model(role)
    if not scope.pool.takes_tokens(model):
        index = scope.journal.occurrence(prompt.key + repr(options).encode())
        outcome = await call(scope, role, prompt, _ONE, options=options, index=index)
        return {o: math.exp(p) for o, p in zip(options, outcome.asked, strict=True)}
    ids = {option: await scope.pool.tokenize(model, option) for option in options}
    logprobs = await _positions(scope, role, prompt, list(ids.values()))
    return {
        option: math.exp(sum(logprobs[path[:i]][path[i]] for i in range(len(path))))
        for option, path in ids.items()
    }


async def _positions(
    scope: Scope, role: str, prompt: Prompt, paths: list[tuple[int, ...]]
) -> dict[tuple[int, ...], dict[int, float]]:
    """Log-probabilities of the next ids after each beginning that the paths share."""
    wanted: dict[tuple[int, ...], list[int]] = {}
    for path in paths:
        for i, token in enumerate(path):
            following = wanted.setdefault(path[:i], [])
            if token not in following:
                following.append(token)
    found: dict[tuple[int, ...], dict[int, float]] = {}

    async def ask(beginning: tuple[int, ...], following: list[int]) -> None:
        index = scope.journal.occurrence(prompt.key + repr((following, beginning)).encode())
        outcome = await call(
            scope, role, prompt, _ONE, asked=tuple(following), suffix=beginning, index=index
        )
        found[beginning] = dict(zip(following, outcome.asked, strict=True))

    if len(wanted) == 1:
        await ask((), wanted[()])
        return found
    async with TaskGroup() as group:
        for beginning, following in wanted.items():
            group.start_soon(ask, beginning, following)
    return found
