"""generate: have a model answer a Prompt, or go on with an open answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ValidationError

from weft.concurrency import TaskGroup
from weft.errors import OutputError, UsageError
from weft.programs.calls import call
from weft.programs.completion import Completion
from weft.programs.prompt import Prompt
from weft.programs.scope import Scope, current
from weft.types import Sampling

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
) -> Any:
    """Have a model answer `prompt`, or continue its open answer.

    Args:
        prompt: the conversation. With vLLM, what a model produced goes back to it as the very
            same tokens.
        max_tokens: most tokens to generate; None leaves it to the context's end.
        temperature: 0 is greedy.
        top_p: nucleus sampling; 1 is off.
        stop: strings that end the answer; a matched one is the end of `Completion.text`, so
            that continuing goes on behind it.
        n: give a list of n samples; they run side by side and share the prompt's prefill.
        seed: sent to the engine; sample i of n gets `seed + i`.
        logprobs: report log-probabilities: 0 of the tokens alone, k of k alternatives too.
        schema: a JSON schema that the answer must follow; it is given as text all the same.
        returns: a pydantic model; the answer is held to its schema and given as an instance.
        role: which of the pool's models answers.
        index: which sample of this prompt it is, for the Store; counted up by itself when the
            same is asked several times in a run.

    Returns:
        A Completion; a list of them with `n`; an instance of `returns`.

    Raises:
        UsageError: an argument is out of range, or the engine can't do what is asked.
        BudgetExceeded: a budget in force is used up.
        OutputError: the answer does not follow `returns`.
        EngineError: no engine could answer.
    """
    scope = current()
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    _check(prompt, max_tokens, temperature, top_p, stops, n, logprobs)
    schema = returns.model_json_schema() if returns is not None else schema
    base = Sampling(max_tokens, temperature, top_p, stops, seed, logprobs, schema)
    if n is None:
        completion = await _one(scope, prompt, base, role, index)
        return completion if returns is None else _parsed(completion, returns)
    completions: dict[int, Completion] = {}

    async def sample(i: int) -> None:
        own = seed + i if seed is not None else None
        sampling = Sampling(max_tokens, temperature, top_p, stops, own, logprobs, schema)
        completions[i] = await _one(scope, prompt, sampling, role, i)

    async with TaskGroup() as group:
        for i in range(n):
            group.start_soon(sample, i)
    return [completions[i] for i in range(n)]


async def _one(
    scope: Scope, prompt: Prompt, sampling: Sampling, role: str, index: int | None
) -> Completion:
    if index is None:
        index = scope.journal.occurrence(prompt.key + repr(sampling).encode())
    outcome = await call(scope, role, prompt, sampling, index=index)
    model = scope.model(role)
    tokens = outcome.tokens if scope.pool.takes_tokens(model) else None
    return Completion(
        text=outcome.text,
        tokens=outcome.tokens,
        logprobs=tuple(outcome.logprobs),
        finish_reason=outcome.finish_reason,
        ended=outcome.ended,
        usage=outcome.usage,
        timing=outcome.timing,
        prompt=prompt.produced(outcome.text, tokens=tokens, model=model, call=outcome.id),
        index=index,
        engine=outcome.engine,
        call=outcome.id,
    )


def _check(
    prompt: Prompt,
    max_tokens: int | None,
    temperature: float,
    top_p: float,
    stop: tuple[str, ...],
    n: int | None,
    logprobs: int | None,
) -> None:
    if prompt.role is None:
        raise UsageError("prompt is empty; begin with Prompt.user(...)")
    if max_tokens is not None and max_tokens < 1:
        raise UsageError(f"max_tokens={max_tokens} must be at least 1")
    if temperature < 0:
        raise UsageError(f"temperature={temperature} must not be negative")
    if not 0 < top_p <= 1:
        raise UsageError(f"top_p={top_p} must be above 0 and at most 1")
    if "" in stop:
        raise UsageError("stop must not contain an empty string")
    if n is not None and n < 1:
        raise UsageError(f"n={n} must be at least 1")
    if logprobs is not None and not 0 <= logprobs <= 20:
        raise UsageError(f"logprobs={logprobs} must be from 0 to 20")


def _parsed(completion: Completion, returns: type[M]) -> M:
    try:
        return returns.model_validate_json(completion.text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        cut = " (cut off by max_tokens)" if completion.finish_reason == "length" else ""
        raise OutputError(
            f"the answer is no {returns.__name__}: {where}: {first['msg']}{cut}"
        ) from None
