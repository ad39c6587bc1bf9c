"""generate: have a model answer a Prompt, or continue an open answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from weft.concurrency import TaskGroup
from weft.errors import OutputError, UsageError
from weft.orchestrator.programs.group import CallGroup
from weft.programs.calls.call import call
from weft.programs.calls.completion import Completion, completion_of
from weft.programs.calls.settings import (
    CallSettings,
    check_more,
    check_usual,
    check_whole,
    settings_text,
    usual_settings,
)
from weft.programs.prompt import Prompt, check_prompt
from weft.programs.scope import Scope, current
from weft.types import MoreSampling, Sampling

if TYPE_CHECKING:
    from weft.programs.calls.tool_use import ToolUse
    from weft.programs.calls.typed_form import TypedForm
    from weft.programs.tools.marking import Tool

T = TypeVar("T")


@overload
async def generate(
    prompt: Prompt,
    *,
    n: None = None,
    schema: dict[str, Any] | None = None,
    returns: None = None,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    tool_choice: str | Tool | Callable[..., Any] | None = None,
    index: int | None = None,
    **settings: Unpack[CallSettings],
) -> Completion: ...
@overload
async def generate(
    prompt: Prompt,
    *,
    n: int,
    schema: dict[str, Any] | None = None,
    returns: None = None,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    tool_choice: str | Tool | Callable[..., Any] | None = None,
    **settings: Unpack[CallSettings],
) -> list[Completion]: ...
@overload
async def generate(
    prompt: Prompt,
    *,
    n: None = None,
    returns: type[T],
    retries: int = 0,
    index: int | None = None,
    **settings: Unpack[CallSettings],
) -> Completion[T]: ...
@overload
async def generate(
    prompt: Prompt,
    *,
    n: int,
    returns: type[T],
    retries: int = 0,
    **settings: Unpack[CallSettings],
) -> list[Completion[T]]: ...
@overload
async def generate(
    prompt: Prompt,
    *,
    n: int,
    returns: object,
    retries: int = 0,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    tool_choice: str | Tool | Callable[..., Any] | None = None,
    **settings: Unpack[CallSettings],
) -> list[Completion[Any]]: ...
@overload
async def generate(
    prompt: Prompt,
    *,
    n: None = None,
    returns: type[T],
    retries: int = 0,
    tools: Sequence[Tool | Callable[..., Any]],
    tool_choice: str | Tool | Callable[..., Any] | None = None,
    index: int | None = None,
    **settings: Unpack[CallSettings],
) -> Completion[T | None]: ...
@overload
async def generate(  # of a Literal or an Annotated type checkers don't know that it is a type
    prompt: Prompt,
    *,
    n: None = None,
    returns: object,
    retries: int = 0,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    tool_choice: str | Tool | Callable[..., Any] | None = None,
    index: int | None = None,
    **settings: Unpack[CallSettings],
) -> Completion[Any]: ...
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
    returns: object = None,
    retries: int = 0,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    tool_choice: str | Tool | Callable[..., Any] | None = None,
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
        returns: a type: a pydantic model, `list[int]`, `Read | Edit`, a dataclass, or whatever
            else pydantic's TypeAdapter takes. The answer must follow its schema, and is
            `Completion.value`.
        retries: how often an answer that does not follow `returns` is shown what is wrong with
            it, in a following turn, and asked for again.
        tools: functions that the model may call, marked `@tool` or not. What the model calls is
            in `Completion.calls`, and is run by `Completion.act`. With `returns` the model calls
            tools, and `Completion.value` is None, or gives its answer.
        tool_choice: `auto` (the model decides), `none`, `required`, or the tool that must be
            called; None leaves it to the engine.
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
        A Completion; a list of them with `n`.

    Raises:
        UsageError: an argument is out of range, or the engine can't do what was asked for.
        BudgetExceeded: a budget in force is used up.
        OutputError: the answer does not follow `returns`; it carries the last completion.
        EngineError: no engine could answer.
    """
    scope = current()
    check_prompt(prompt)
    if n is not None:
        check_whole("n", n, 1)
    stops = (stop,) if isinstance(stop, str) else _texts(stop)
    if more:
        check_more(more)
    form: TypedForm | None = None
    if returns is not None:
        if schema is not None:
            raise UsageError("give schema, which leaves the answer a text, or returns, not both")
        check_whole("retries", retries, 0)
        from weft.programs.calls.typed_form import typed_form

        form = typed_form(returns)
        schema = form.schema
    elif retries:
        raise UsageError(f"retries={retries!r} mends answers of a type: say which by returns")
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
    use: ToolUse | None = None
    if tools or tool_choice is not None:
        from weft.programs.calls.tool_use import ToolUse  # only programs with tools need it

        use = ToolUse.of(tools, tool_choice)
        sampling = use.into(sampling)
    if n is not None:
        return await _several(scope, prompt, sampling, role, n, form, retries, use)
    if index is None:
        index = _occurrence(scope, prompt, sampling)
    else:
        check_whole("index", index, 0)
    completion = await _answered(scope, prompt, sampling, role, index, use)
    if form is None:
        return completion
    return await _typed(scope, prompt, sampling, role, completion, form, retries, use)


def _occurrence(scope: Scope, prompt: Prompt, sampling: Sampling, times: int = 1) -> int:
    asked = prompt.key + settings_text(sampling).encode()
    return scope.occurrence(asked, certain=sampling.certain, times=times)


async def _answered(
    scope: Scope, prompt: Prompt, sampling: Sampling, role: str, index: int, use: ToolUse | None
) -> Completion:
    if use is None:
        outcome = await call(scope, role, prompt, sampling, index=index)
    else:
        outcome = await use.call(scope, role, prompt, sampling, index)
    return completion_of(scope, prompt, role, index, outcome, use)


async def _typed(
    scope: Scope,
    prompt: Prompt,
    sampling: Sampling,
    role: str,
    completion: Completion,
    form: TypedForm,
    retries: int,
    use: ToolUse | None,
) -> Completion[Any]:
    """A completion with its value; what has none is mended, unless it calls tools."""
    spent = completion.usage
    while True:
        if completion.calls:
            return replace(completion, value=None, usage=spent)
        try:
            value = form.read(completion)
        except OutputError as error:
            again = form.mending(error, prompt) if retries else None
            if again is None:
                raise
            prompt, retries = again, retries - 1
        else:
            if scope.provenance is not None:
                scope.provenance.note(value, completion.call)
            return replace(completion, value=value, usage=spent)
        index = _occurrence(scope, prompt, sampling)
        completion = await _answered(scope, prompt, sampling, role, index, use)
        spent += completion.usage


async def _several(
    scope: Scope,
    prompt: Prompt,
    sampling: Sampling,
    role: str,
    n: int,
    form: TypedForm | None,
    retries: int,
    use: ToolUse | None,
) -> list[Completion[Any]]:
    completions: dict[int, Completion[Any]] = {}
    seed = sampling.seed

    async def sample(i: int) -> None:
        own = sampling if seed is None else replace(sampling, seed=seed + i)
        with scope.branches(1):
            made: Completion[Any] = await _answered(scope, prompt, own, role, first + i, use)
            if form is not None:
                made = await _typed(scope, prompt, own, role, made, form, retries, use)
        completions[i] = made
        if group is not None:
            group.ended += 1

    group = CallGroup(n, n, outer=scope.group) if n > 1 else None
    if group is not None:
        scope = scope.of_group(n, group)
    # Asked for again in a run, these are further samples.
    first = _occurrence(scope, prompt, sampling, n)
    with scope.branches(-1):
        async with TaskGroup() as tasks:
            for i in range(n):
                tasks.start_soon(sample, i)
    return [completions[i] for i in range(n)]


def _texts(stop: Sequence[str]) -> tuple[str, ...]:
    try:
        texts: tuple[object, ...] = tuple(stop)
    except TypeError:
        texts = (stop,)
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"stop={stop!r} must be a text, or a list of texts")
    return tuple(stop)
