"""@once: functions with effects, which a run that is resumed does not do again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints, overload

from weft.backends.retry import Retry
from weft.errors import UsageError
from weft.programs.durable.deeds import Kind, plain_json, result_of
from weft.programs.nodes import node
from weft.programs.scope import enter, running
from weft.programs.scope.doing import Doing

if TYPE_CHECKING:
    from weft.store.kept_runs import Deed

T = TypeVar("T")

KEYED = "__weft_keyed__"
"""Says of a marked function whether it is given a `key`, which its callers need not give."""


@overload
def once(function: Callable[..., Awaitable[T]], /) -> Callable[..., Coroutine[Any, Any, T]]: ...
@overload
def once(
    *, timeout: float | None = None, retry: Retry | Mapping[str, Any] | int | None = None
) -> Callable[[Callable[..., Awaitable[T]]], Callable[..., Coroutine[Any, Any, T]]]: ...
def once(
    function: Any = None,
    /,
    *,
    timeout: float | None = None,
    retry: Retry | Mapping[str, Any] | int | None = None,
) -> Any:
    """Mark an async function that has effects: a run with an id does each call of it once.

        @once
        async def send(mail: Mail, *, key: str) -> str: ...

    In a run that is begun again (`run(..., store=store, id="bees")`), what was done comes from
    the Store: under the run, the function's name and its arguments, and the how-manieth time it
    is. The function is a node of the run's graph, and a tool to the scheduler. Arguments and
    result are kept as JSON, the result as its annotation says. An error is not kept: the
    function is called again when the run is resumed.

    A process may die after an effect and before the result is kept. Then the function is called
    again. If it has a parameter `key`, it is given a text that is the same then, and differs for
    all other calls: services for payments or mail take such keys. A caller may give `key`
    itself; the call is then known by that key alone.

    In a run without an id, and outside any run, nothing is kept, and `key` is new each time.

    Args:
        function: async.
        timeout: seconds that it may take, each attempt by itself. Then it is cancelled, and
            `TimedOut` is raised; the effect may have happened nevertheless.
        retry: how it is called again when it raises: a Retry, its fields, or its attempts alone.
            All attempts have the same `key`.

    Raises:
        UsageError: the function is not async, or a setting is out of range; or, when it is called,
            an argument or the result can't be kept, or it asks a model.
        RunChanged: when it is called in a run that did something else there before.
    """
    if timeout is not None:
        from weft.programs.timeouts import check_seconds

        check_seconds("@once", "timeout", timeout)
    again = Retry.of(retry) if retry is not None else None
    mark = functools.partial(_marked, timeout=timeout, retry=again)
    return mark if function is None else mark(function)


def _marked(
    function: Callable[..., Awaitable[T]], timeout: float | None, retry: Retry | None
) -> Callable[..., Coroutine[Any, Any, T]]:
    if not inspect.iscoroutinefunction(function):
        name = getattr(function, "__name__", repr(function))
        raise UsageError(f"@once marks an async function; write `async def {name}`")
    name = function.__name__
    signature = inspect.signature(function)
    keyed = "key" in signature.parameters
    kinds: list[Kind] = []
    work = function
    if timeout is not None:
        from weft.programs.timeouts import bounded

        work = bounded(function, timeout, name)

    def kind() -> Kind:
        if not kinds:
            try:
                returns = get_type_hints(function, include_extras=True).get("return", Any)
            except Exception:  # an annotation that names what is not there
                returns = Any
            kinds.append(Kind(returns, name))
        return kinds[0]

    @node
    @functools.wraps(function)
    async def done_once(*args: Any, **kwargs: Any) -> T:
        scope = running()
        own = kwargs.get("key") if keyed else None
        bound = signature.bind(*args, **({"key": ""} if keyed and own is None else {}) | kwargs)
        deeds = scope.deeds if scope is not None else None
        if scope is None or deeds is None:
            if keyed and own is None:
                kwargs["key"] = _new_key()
            return await work(*args, **kwargs)
        given = {k: v for k, v in bound.arguments.items() if k != "key"}
        arguments = plain_json(given, f"an argument of {name}")
        if own is not None:
            key = deeds.own_key(name, str(own))
        else:
            key = deeds.key(scope.branch, "once", name, arguments)
            if keyed:
                kwargs["key"] = f"{deeds.id}-{key[:16]}"
        doing = scope.doing
        alone = scope.but(doing=Doing(doing, doing is None or doing.told, name))

        async def act(_: Deed) -> str:
            with enter(alone):
                return kind().write(await work(*args, **kwargs))

        def begin() -> Deed:
            return deeds.kept.begin_deed(
                deeds.id, key, scope.branch, "once", name, arguments, "begun"
            )

        return kind().read(await result_of(scope, deeds, key, begin, act))

    made = done_once if retry is None else _again(done_once, retry, signature, keyed)
    vars(made)[KEYED] = keyed
    return made


def _again(
    function: Callable[..., Coroutine[Any, Any, T]],
    retry: Retry,
    signature: inspect.Signature,
    keyed: bool,
) -> Callable[..., Coroutine[Any, Any, T]]:
    """The same, called again when it fails; all attempts have one key."""
    from weft.programs.retrying import retried  # only programs that try again need it

    tried = retried(lambda *args, **kwargs: function(*args, **kwargs), retry)

    @functools.wraps(function)
    async def again(*args: Any, **kwargs: Any) -> T:
        own = kwargs.get("key") if keyed else None
        signature.bind(*args, **({"key": ""} if keyed and own is None else {}) | kwargs)
        scope = running()
        if keyed and own is None and (scope is None or scope.deeds is None):
            kwargs["key"] = _new_key()
        return await tried(*args, **kwargs)

    return again


def _new_key() -> str:
    from uuid import uuid4

    return uuid4().hex
