"""generate: have a model answer a Prompt, or continue an open answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar, Unpack, cast, overload

from pydantic import BaseModel, ValidationError

from weft.concurrency import TaskGroup
from weft.errors import OutputError, UsageError
from weft.orchestrator.group import CallGroup
from weft.programs.calls.call import call
from weft.programs.calls.completion import Completion
from weft.programs.calls.json_text import json_texts
from weft.programs.calls.settings import (
    check_more,
    check_usual,
    check_whole,
    settings_text,
    usual_settings,
)
from weft.programs.history.outcome import Outcome
from weft.programs.prompt import Prompt, check_prompt
from weft.programs.scope import Scope, current
from weft.types import MoreSampling, Sampling

M = TypeVar("M", bound=BaseModel)


@overload
async def generate(
    prompt: Prompt,
    *,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    stop: str | Sequence[str] = (),
    n: None = None,
    seed: int | None = None,
    logprobs: int | None = None,
    schema: dict[str, Any] | None = None,
    returns: None = None,
    role: str = "solver",
    index: int | None = None,
    **more: Unpack[MoreSampling],
) -> Completion: ...
@overload
async def generate(
    prompt: Prompt,
    *,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    stop: str | Sequence[str] = (),
    n: int,
    seed: int | None = None,
    logprobs: int | None = None,
    schema: dict[str, Any] | None = None,
    returns: None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> list[Completion]: ...
@overload
async def generate(
    prompt: Prompt,
    *,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    stop: str | Sequence[str] = (),
    n: None = None,
    seed: int | None = None,
    returns: type[M],
    role: str = "solver",
    index: int | None = None,
    **more: Unpack[MoreSampling],
) -> M: ...
async def generate(
    prompt: Prompt,
    *,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    stop: str | Sequence[str] = (),
    n: int | None = None,
    seed: int | None = None,
    logprobs: int | None = None,
    schema: dict[str, Any] | None = None,
    returns: type[BaseModel] | None = None,
    role: str = "solver",
    index: int | None = None,
    **more: Unpack[MoreSampling],
) -> Any:
    """Have a model answer `prompt`, or continue the open answer of `prompt`.

    Args:
        prompt: the conversation. With vLLM, tokens that the model produced before go back to
            the model as the very same tokens.
        max_tokens: most tokens to generate; None goes on to the end of the context.
        temperature: 0 is greedy.
        top_p: nucleus sampling; 1 is off.
        stop: strings that end the answer. The last token of a matched string is the last of
            `Completion.text`, so an answer that is continued goes on behind the string.
        n: how many samples; `generate` then gives a list. Samples run side by side and share
            the prefill of the prompt.
        seed: sent to the engine; sample i of n gets `seed + i`.
        logprobs: asks for log-probabilities: 0 of the tokens alone, k of k alternatives too.
        schema: a JSON schema that the answer must follow. The answer is still a text.
        returns: a pydantic model. The answer must follow its schema, and is given as an
            instance.
        role: which of the pool's models answers.
        index: which sample of this prompt this is, for the Store. When the same is asked again
            in a run, the index counts up by itself.
        **more: settings that few calls need: `top_k`, `min_p`, `presence_penalty`,
            `frequency_penalty`, `repetition_penalty`, `reasoning_effort`, `thinking` (True or
            False, for models that can do both), and `extra`, a dict of further fields of the
            request (see `Sampling`). Settings that are not given are left to the engine. A
            setting that the engine refuses is left out, with a warning, and is named in
            `Completion.missing`.

    Returns:
        A Completion; a list of them with `n`; an instance of `returns`.

    Raises:
        UsageError: an argument is out of range, or the engine can't do what was asked for.
        BudgetExceeded: a budget in force is used up.
        OutputError: the answer does not follow `returns`.
        EngineError: no engine could answer.
    """
    scope = current()
    check_prompt(prompt)
    if n is not None:
        check_whole("n", n, 1)
    stops = (stop,) if isinstance(stop, str) else _texts(stop)
    if more:
        check_more(more)
    if returns is not None:
        if not isinstance(returns, type) or not issubclass(returns, BaseModel):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(f"returns={returns!r} must be a class of pydantic's BaseModel")
        schema = returns.model_json_schema()
    usual = max_tokens, temperature, top_p, stops, seed, logprobs
    if schema is None and not more:
        try:
            sampling = usual_settings(*usual)
        except TypeError:  # what has no hash is no setting
            check_usual(Sampling(*usual))
            raise
    else:
        if schema is not None and not isinstance(cast(object, schema), dict):
            raise UsageError(f"schema={schema!r} must be a dict, a JSON schema")
        sampling = Sampling(*usual, schema, **more)
        check_usual(sampling)
    if n is not None:
        return await _several(scope, prompt, sampling, role, n)
    if index is None:
        index = scope.journal.occurrence(prompt.key + settings_text(sampling).encode())
    else:
        check_whole("index", index, 0)
    outcome = await call(scope, role, prompt, sampling, index=index)
    completion = _completion(scope, prompt, role, index, outcome)
    if returns is None:
        return completion
    answer = _parse(completion, returns)
    if scope.provenance is not None:
        scope.provenance.note(answer, outcome.id)
    return answer


async def _several(
    scope: Scope, prompt: Prompt, sampling: Sampling, role: str, n: int
) -> list[Completion]:
    completions: dict[int, Completion] = {}
    seed = sampling.seed

    async def sample(i: int) -> None:
        own = sampling if seed is None else replace(sampling, seed=seed + i)
        with scope.branches(1):
            outcome = await call(scope, role, prompt, own, index=first + i)
        completions[i] = _completion(scope, prompt, role, first + i, outcome)
        if group is not None:
            group.ended += 1

    group = CallGroup(n, n, outer=scope.group) if n > 1 else None
    if group is not None:
        scope = scope.of_group(n, group)
    # Asked for again in a run, these are further samples.
    first = scope.journal.occurrence(prompt.key + settings_text(sampling).encode(), n)
    with scope.branches(-1):
        async with TaskGroup() as tasks:
            for i in range(n):
                tasks.start_soon(sample, i)
    return [completions[i] for i in range(n)]


def _completion(
    scope: Scope, prompt: Prompt, role: str, index: int, outcome: Outcome
) -> Completion:
    model = scope.model(role)
    tokens = outcome.tokens if scope.pool.models.takes_tokens(model) else None
    thinking = outcome.thinking
    # What goes back is what the engine produced; to one that takes text, the answer alone.
    text = thinking.text
    back = outcome.text if tokens is not None else text
    # All of it was thinking, where an engine that tells thinking apart had come to no answer.
    silent = bool(outcome.reasoning) and not outcome.text and outcome.finish_reason == "length"
    reasoning = "\n".join(filter(None, (outcome.reasoning, thinking.reasoning)))
    if scope.provenance is not None:
        text = scope.provenance.text(text, outcome.id)
        if reasoning:
            reasoning = scope.provenance.text(reasoning, outcome.id)
    outcome.read = None  # three objects less for each call that a run keeps
    return Completion(
        text=text,
        tokens=outcome.tokens,
        logprobs=outcome.logprobs,
        finish_reason=outcome.finish_reason,
        ended=outcome.ended,
        usage=outcome.usage,
        timing=outcome.timing,
        prompt=prompt.produced(
            back, tokens=tokens, model=model, call=outcome.id, in_thinking=thinking.inside
        ),
        index=index,
        engine=outcome.engine,
        call=outcome.id,
        reasoning=reasoning,
        in_thinking=thinking.inside or silent,
        missing=outcome.missing,
        end=outcome.end,
    )


def _texts(stop: Sequence[str]) -> tuple[str, ...]:
    try:
        texts: tuple[object, ...] = tuple(stop)
    except TypeError:
        texts = (stop,)
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"stop={stop!r} must be a text, or a list of texts")
    return tuple(stop)


def _parse(completion: Completion, returns: type[M]) -> M:
    """The answer as an instance: of the first JSON in it that fits."""
    if completion.finish_reason not in ("stop", "length", "unknown"):
        # What a filter or an error has ended is no answer, though some of it be JSON.
        raise OutputError(f"the answer is no {returns.__name__}{_why(completion)}")
    first: ValidationError | None = None
    for text in json_texts(completion.text):
        if not completion.whole and text.strip()[-1:] not in _ENDS:
            continue  # of a number that was cut off nobody knows whether it goes on
        try:
            return returns.model_validate_json(text)
        except ValidationError as error:
            first = first or error
    if first is None:  # the text is empty, or there was no end to its thinking
        what = "before it began" if not completion.text else "before its end could be seen"
        what = "within its thinking" if completion.in_thinking else what
        raise OutputError(f"the answer is no {returns.__name__}: it ended {what}{_why(completion)}")
    worst = first.errors()[0]
    where = ".".join(map(str, worst["loc"])) or "the whole"
    raise OutputError(
        f"the answer is no {returns.__name__}: {where}: {worst['msg']}{_why(completion)}"
    )


_ENDS = ("}", "]", '"')
"""With what JSON ends of which the end can be seen."""


def _why(completion: Completion) -> str:
    match completion.finish_reason:
        case "stop":
            return ""
        case "length":
            return " (cut off by max_tokens)"
        case other:
            return f" (it ended by {other})"
