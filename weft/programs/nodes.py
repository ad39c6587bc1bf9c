"""@program and @node: functions that appear in a run's graph."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from types import MethodType
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from weft.backends.retry import Retry
from weft.errors import UsageError
from weft.orchestrator.programs.program import ToolWait
from weft.programs.scope import ANY, Scope, enter, running
from weft.programs.scope.declaration import NOTHING_DECLARED, Declaration, Stages, declare
from weft.programs.scope.doing import Doing

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@overload
def program(function: Callable[P, Awaitable[T]], /) -> Callable[P, Coroutine[Any, Any, T]]: ...
@overload
def program(
    *, stages: Stages | None = None, calls: int | None = None, tokens: int | None = None
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]: ...
def program(
    function: Any = None,
    /,
    *,
    stages: Stages | None = None,
    calls: int | None = None,
    tokens: int | None = None,
) -> Any:
    """Mark an async function as a program: something that `run` runs.

    The function stays an ordinary function. A program that another program calls appears in
    the graph as a part of the caller, within the caller's budgets. To the scheduler it is a
    program of its own, with its own context and place.

        @program(stages=[plan, attempt, judge], calls=12)
        async def answer(question: str) -> str: ...

    What is declared is told to the scheduler, and is drawn by `weft graph` before anything runs.
    A run that differs is no error: `Run.differences` and the log name the difference.

    Args:
        function: the async function.
        stages: the nodes that make its calls, in order; or a dict that says of each which may
            follow, where None is the end. Functions or names.
        calls: how many calls a run is expected to make.
        tokens: how many tokens engines are expected to compute for it: prompts that are not
            cached, and answers.

    Raises:
        UsageError: a number is no whole number above 0, or stages are no names or functions.
    """
    return _marked(function, "program", stages=stages, calls=calls, tokens=tokens)


@overload
def node(function: Callable[P, Awaitable[T]], /) -> Callable[P, Coroutine[Any, Any, T]]: ...
@overload
def node(
    *,
    calls: int | None = None,
    tokens: int | None = None,
    width: int | None = None,
    timeout: float | None = None,
    retry: Retry | Mapping[str, Any] | int | None = None,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]: ...
def node(
    function: Any = None,
    /,
    *,
    calls: int | None = None,
    tokens: int | None = None,
    width: int | None = None,
    timeout: float | None = None,
    retry: Retry | Mapping[str, Any] | int | None = None,
) -> Any:
    """Mark an async function as a part of a program. The graph shows the node by its name.

    The function stays an ordinary function, and can be called in a plain test. A node that
    makes no call is a tool: the scheduler learns under the node's name how long it takes.

    Args:
        function: the async function.
        calls: how many calls it is expected to make each time.
        tokens: how many tokens engines are expected to compute for it each time.
        width: branches of the fan-out that it is run in.
        timeout: seconds that it may take, each attempt by itself. Then what runs in it is
            cancelled, its calls in the engines too, and `TimedOut` is raised.
        retry: how it is run again when it raises: a Retry, its fields, or its attempts alone.
            Each attempt is a node of the graph, and asks and pays anew; what it did `@once` in a
            run with an id stays done. Budgets that are used up around it, and errors of use, are
            raised at once.

    Raises:
        UsageError: a number is no whole number above 0, the timeout no number of seconds above
            0, or the retry is none.
    """
    given = {"calls": calls, "tokens": tokens, "width": width}
    marked: Any = _marked(function, "node", timeout, **given)
    if retry is None:
        return marked
    from weft.programs.retrying import retried  # only programs that try again need it

    told = Retry.of(retry)

    def mark(function: Any) -> Any:
        return retried(marked(function), told)

    return mark if function is None else retried(marked, told)


def is_program(function: object) -> bool:
    """Whether a function is marked `@program`."""
    return getattr(function, "__weft_kind__", None) == "program"


def unchecked_program(
    function: Callable[P, Awaitable[T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """A program whose caller looks itself at what the program returns."""
    return _traced(function, "program", checks=False)


def _marked(
    function: Any, kind: Literal["program", "node"], timeout: float | None = None, **given: Any
) -> Any:
    if timeout is not None:
        from weft.programs.timeouts import check_seconds

        check_seconds(f"@{kind}", "timeout", timeout)
    declares = declare(f"@{kind}", **given)
    if function is not None:
        return _traced(function, kind, declares, timeout=timeout)
    return functools.partial(_traced, kind=kind, declaration=declares, timeout=timeout)


def _traced(
    function: Callable[P, Awaitable[T]],
    kind: Literal["program", "node"],
    declaration: Declaration = NOTHING_DECLARED,
    checks: bool = True,
    timeout: float | None = None,
) -> Callable[P, Coroutine[Any, Any, T]]:
    if not callable(function):
        raise UsageError(
            f"@{kind} marks an async function, not {function!r:.60}; what it declares goes by "
            f"name, as in @{kind}(calls=3)"
        )
    name = getattr(function, "__name__", kind)
    if inspect.isasyncgenfunction(function):
        raise UsageError(
            f"@{kind} marks an async function that returns a value; {name} yields several"
        )

    work: Callable[P, Awaitable[T]] = function
    if timeout is not None:
        from weft.programs.timeouts import bounded  # only programs with timeouts need it

        def checked(*args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
            return awaitable(function(*args, **kwargs), f"@{kind}", function)

        work = bounded(checked, timeout, name)

    @functools.wraps(function)
    async def traced(*args: P.args, **kwargs: P.kwargs) -> T:
        if (scope := running()) is None:
            return await awaitable(work(*args, **kwargs), f"@{kind}", function)
        provenance = scope.provenance
        uses = provenance.behind((*args, *kwargs.values())) if provenance is not None else []
        id = scope.journal.begin(kind, scope.id, name=name, uses=uses)
        inside = _inside_node(scope, name, id)
        if kind == "program" and scope.starts is not traced and scope.starts is not ANY:
            inside = _inside_program(scope, name, id, declaration)
        try:
            with inside:
                result = await awaitable(work(*args, **kwargs), f"@{kind}", function)
        except BaseException as error:
            ended = "failed" if isinstance(error, Exception) else "cancelled"
            scope.journal.note(ended, id, error=repr(error))
            raise
        scope.journal.note("done", id)
        if checks:
            check_awaited(result, name)
        if provenance is not None and result is not None:
            provenance.note(result, id)
        return result

    vars(traced)["__weft__"] = declaration
    vars(traced)["__weft_kind__"] = kind
    return traced


@contextmanager
def _inside_program(scope: Scope, name: str, id: str, declares: Declaration) -> Generator[None]:
    """Another program, for which this one waits as for a tool."""
    with (
        scope.waiting(name),
        scope.inside(id, name, None).as_program(name, id, declares) as inside,
        enter(inside),
    ):
        yield


@contextmanager
def _inside_node(scope: Scope, name: str, id: str) -> Generator[None]:
    """A part of the program; a tool, for which it waits, if no call is made in it."""
    outer, program = scope.doing, scope.program
    doing = Doing(outer, outer is not None and outer.told)
    inside = scope.inside(id, name, doing)
    if doing.told or program is None:
        with enter(inside):
            yield
        return
    scheduler, wait, whole = scope.pool.scheduler, None, False
    since = scheduler.clock()
    if scheduler.profiles.knows_tool(program.name, name):
        wait, doing.told = scheduler.wait(program.id, name), True
    try:
        with enter(inside):
            yield
        whole = True
    except Exception:
        whole = True
        raise
    finally:
        if wait is None and whole and not doing.calls:
            wait = ToolWait(name, None, since)
        if wait is not None:
            scheduler.end_wait(program.id, wait, whole=whole and not doing.calls)


def stands_for(
    program: object, name: str = "", arguments: Mapping[str, Any] | None = None
) -> Callable[[F], F]:
    """Mark a wrapper: it is no program around the one that it calls, but stands for that one.

    Args:
        program: what it calls.
        name: what results in a Store are kept for; the wrapper's own name by default.
        arguments: with which it calls the program, if the wrapper takes none itself.
    """

    def mark(wrapper: F) -> F:
        vars(wrapper)["__weft_calls__"] = program
        if arguments is not None:
            vars(wrapper)["__weft_arguments__"] = arguments
        wrapper.__name__ = name or wrapper.__name__
        return wrapper

    return mark


def underlying(function: object) -> object:
    """What partial functions and methods were made of, and what a wrapper stands for."""
    while True:
        if isinstance(function, functools.partial):
            function = cast(Any, function).func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif (called := getattr(function, "__weft_calls__", None)) is not None:
            function = called
        else:
            return function


def awaitable(made: Awaitable[T], what: str, function: object) -> Awaitable[T]:
    """What a call of an async function made.

    Raises:
        UsageError: the function is not async.
    """
    if not hasattr(made, "__await__") and not inspect.isawaitable(made):
        name = getattr(underlying(function), "__name__", None) or repr(function)
        raise UsageError(f"{what} {name} must be an async function (`async def`)")
    return made


def check_awaited(value: object, name: str) -> None:
    """Check what a function returned.

    Raises:
        UsageError: it forgot to await it.
    """
    if inspect.iscoroutine(value):
        value.close()
        raise UsageError(f"{name} returned a call that nobody awaits; write `return await ...`")


def check_arguments(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Check what a function was called with.

    Raises:
        UsageError: it takes other arguments.
    """
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(underlying(function), "__name__", None) or repr(function)
        raise UsageError(f"{name} was given arguments that it does not take: {error}") from None
    except ValueError:  # of some functions nobody knows the arguments
        return


def close_unused(made: object) -> None:
    """Close a coroutine that stands where a function should, so that nobody warns of it later."""
    if inspect.iscoroutine(made):
        made.close()
