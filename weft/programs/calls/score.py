"""score: how likely a model finds given continuations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from weft.concurrency import TaskGroup
from weft.errors import UsageError
from weft.orchestrator.programs.group import CallGroup
from weft.programs.calls.call import call
from weft.programs.prompt import Prompt, check_prompt
from weft.programs.scope import Scope, current
from weft.types import Sampling

_ONE = Sampling(max_tokens=1, temperature=0.0)


async def score(
    prompt: Prompt, options: Sequence[str], *, role: str = "verifier"
) -> dict[str, float]:
    """The probability with which the model would continue `prompt` by each option.

    The probability of an option is the probability of its tokens, one after another. What may
    follow the option is left open. The probabilities are the model's own, and need not add up
    to 1. To compare the options with each other, divide by the sum.

    Each position costs one generated token, and the prompt is found in the engine's prefix
    cache. Options that begin alike share the cost of the beginning. An engine that takes no
    tokens is asked for the alternatives to the first token only, so there an option must be
    a single token.

    Args:
        prompt: the conversation; an open answer is continued.
        options: texts, all different and none of them empty.
        role: which of the pool's models judges.

    Returns:
        For each option its probability, from 0 to 1.

    Raises:
        UsageError: there are no options, two are equal or one is empty; or the engine can't
            score.
        BudgetExceeded: a budget in force is used up.
        EngineError: no engine could answer.
    """
    check_prompt(prompt)
    scope = current()
    texts = isinstance(cast(object, options), Iterable) and not isinstance(options, str)
    if not texts or not all(isinstance(cast(object, one), str) for one in options):
        raise UsageError(f"options={options!r} must be a list of texts")
    options = tuple(options)
    if not options or "" in options or len(set(options)) < len(options):
        raise UsageError(f"options={list(options)} must be different, non-empty texts")
    model = scope.model(role)
    if not scope.pool.models.takes_tokens(model):
        index = scope.occurrence(prompt.key + repr(options).encode(), certain=True)
        outcome = await call(scope, role, prompt, _ONE, options=options, index=index)
        return {o: math.exp(p) for o, p in zip(options, outcome.ask_logprobs, strict=True)}
    ids = {option: await scope.pool.tokenize(model, option) for option in options}
    logprobs = await _positions(scope, role, prompt, list(ids.values()))
    return {
        option: math.exp(sum(logprobs[path[:i]][path[i]] for i in range(len(path))))
        for option, path in ids.items()
    }


async def pool_texts(
    prompt: Prompt, groups: Mapping[str, Sequence[str]], *, role: str = "verifier"
) -> dict[str, float]:
    """The probability with which the model would continue `prompt` by any text of a group.

    All first tokens are asked about at once, which costs one generated token. Texts of several
    tokens are followed on only as long as what they begin with is likely enough to count, so
    the result may lack a few percent of the mass. Each text is looked up as it is and as it is
    behind a newline, since some tokenizers put a space before a text that stands alone.

    Args:
        prompt: the conversation; an open answer is continued.
        groups: texts that count as the same, by a name. Engines that take no tokens are
            asked about the alternatives to the first token, less the space around them.
        role: which of the pool's models judges.

    Returns:
        For each group its probability, from 0 to 1.

    Raises:
        UsageError: the engine can't score.
        BudgetExceeded: a budget in force is used up.
        EngineError: no engine could answer.
    """
    scope = current()
    model = scope.model(role)
    found = dict.fromkeys(groups, 0.0)
    if not scope.pool.models.takes_tokens(model):
        texts = {text.strip(): name for name, group in groups.items() for text in group}
        found |= _summed(texts, await score(prompt, list(texts), role=role))
        return found
    paths: dict[tuple[int, ...], str] = {}
    for name, group in groups.items():
        ways = await _ways(scope, model, group)
        for path in sorted(ways, key=len):
            # What goes on from a text of the group is counted with it.
            if not any(path[:end] in paths for end in range(1, len(path) + 1)):
                paths[path] = name
    alive: dict[tuple[int, ...], float] = {(): 1.0}
    while alive:
        wanted = {
            beginning: sorted({path[len(beginning)] for path in paths if _goes_on(path, beginning)})
            for beginning in alive
        }
        logprobs = await _ask(scope, role, prompt, wanted)
        likely = {
            (*beginning, token): alive[beginning] * math.exp(logprob)
            for beginning, following in logprobs.items()
            for token, logprob in following.items()
        }
        for path, share in likely.items():
            if path in paths:
                found[paths[path]] += share
        least = NEGLIGIBLE * max(*likely.values(), *found.values())
        alive = {
            path: share for path, share in likely.items() if path not in paths and share > least
        }
    return found


NEGLIGIBLE = 0.01
"""Beginnings of texts that are less likely, relative to the likeliest, are not followed."""


def _goes_on(path: tuple[int, ...], beginning: tuple[int, ...]) -> bool:
    return len(path) > len(beginning) and path[: len(beginning)] == beginning


def _summed(texts: Mapping[str, str], shares: Mapping[str, float]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for text, share in shares.items():
        sums[texts[text]] = sums.get(texts[text], 0.0) + share
    return sums


async def _ways(scope: Scope, model: str, texts: Sequence[str]) -> set[tuple[int, ...]]:
    """The tokens of texts, alone and behind a newline."""
    ways: set[tuple[int, ...]] = set()

    async def look_up(text: str) -> None:
        ways.add(await scope.pool.tokenize(model, text))
        newline = await scope.pool.tokenize(model, "\n")
        behind = await scope.pool.tokenize(model, "\n" + text)
        if behind[: len(newline)] == newline:
            ways.add(behind[len(newline) :])

    async with TaskGroup() as group:
        for text in texts:
            group.start_soon(look_up, text)
    return ways - {()}


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
    return await _ask(scope, role, prompt, wanted)


async def _ask(
    scope: Scope, role: str, prompt: Prompt, wanted: Mapping[tuple[int, ...], list[int]]
) -> dict[tuple[int, ...], dict[int, float]]:
    """Log-probabilities of given ids after each of some beginnings, side by side."""
    found: dict[tuple[int, ...], dict[int, float]] = {}

    async def ask(beginning: tuple[int, ...], following: list[int]) -> None:
        asked = prompt.key + repr((following, beginning)).encode()
        index = scope.occurrence(asked, certain=True)
        with scope.branches(1):
            outcome = await call(
                scope, role, prompt, _ONE, tokens=tuple(following), suffix=beginning, index=index
            )
        found[beginning] = dict(zip(following, outcome.ask_logprobs, strict=True))
        if group is not None:
            group.ended += 1

    width, group = len(wanted), None
    if width > 1:
        scope = scope.of_group(width, group := CallGroup(width, width, outer=scope.group))
    with scope.branches(-1):
        if width == 1:
            await ask(*next(iter(wanted.items())))
            return found
        async with TaskGroup() as tasks:
            for beginning, following in wanted.items():
                tasks.start_soon(ask, beginning, following)
    return found
