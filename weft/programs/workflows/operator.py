"""Operator: a part of a workflow, and the condition on which it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, TypeVar, cast, get_type_hints

from weft.errors import UsageError
from weft.programs.nodes import node, underlying

F = TypeVar("F", bound=Callable[..., Any])
_CONDITION = "__weft_when__"


@dataclass(frozen=True, slots=True)
class Operator:
    """A part of a workflow.

    Attributes:
        name: of its function.
        function: does it.
        takes: the names of its parameters.
        condition: says whether it runs; None if it always does.
        asks: the names of the condition's parameters.
        defaults: of parameters that have one.
        types: of parameters, as far as they are annotated.
    """

    name: str
    function: Callable[..., Any]
    takes: tuple[str, ...]
    condition: Callable[..., bool] | None
    asks: tuple[str, ...]
    defaults: dict[str, Any]
    types: dict[str, Any]

    @property
    def needs(self) -> tuple[str, ...]:
        """All that it or its condition is given."""
        return tuple(dict.fromkeys((*self.takes, *self.asks)))


def when(condition: Callable[..., bool]) -> Callable[[F], F]:
    """Mark an operator of a workflow: it runs only if a condition holds.

        @when(lambda kind: kind == "complaint")
        @node
        async def facts(mail, kind): ...

    Args:
        condition: a plain function of inputs and results, by the names of its parameters.

    Raises:
        UsageError: the condition is no plain function.
    """
    if not callable(condition) or inspect.iscoroutinefunction(condition):
        raise UsageError(
            f"@when takes a plain function, such as `lambda kind: kind == 'a'`, not {condition!r}"
        )

    def mark(function: F) -> F:
        vars(function)[_CONDITION] = condition
        return function

    return mark


def operator_of(function: Any) -> Operator:
    """The operator that a function is; a function that is not marked becomes a node.

    Raises:
        UsageError: it is no async function of named parameters.
    """
    if not callable(function):
        raise UsageError(f"a workflow is made of async functions, not of {function!r:.60}")
    condition = getattr(function, _CONDITION, None)
    name = getattr(underlying(function), "__name__", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(f"operator {function!r:.60} needs a name; write it with `async def`")
    takes, defaults = _parameters(function, name)
    asks: tuple[str, ...] = ()
    if condition is not None:
        asks, own = _parameters(condition, f"the condition of {name}")
        defaults = {**own, **defaults}
    done = function if hasattr(function, "__weft__") else node(cast(Any, function))
    try:
        types = get_type_hints(inspect.unwrap(cast(Any, underlying(function))), include_extras=True)
    except Exception:  # an annotation that names what is not there
        types = {}
    return Operator(name, done, takes, condition, asks, defaults, types)


def _parameters(function: Callable[..., Any], name: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    found = inspect.signature(function).parameters.values()
    for one in found:
        if one.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
            raise UsageError(f"{name} takes {one}; an operator names each thing that it needs")
    defaults = {one.name: one.default for one in found if one.default is not Parameter.empty}
    return tuple(one.name for one in found), defaults
