"""@tool: a function that a model may call, by a schema of its signature and docstring."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from weft.backends.retry import Retry
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.programs.tools.arguments import Arguments

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__weft_tool__"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Tool:
    """What a model may call.

    Attributes:
        name: under which the model calls it, and the scheduler learns how long it takes.
        description: what it does, for the model.
        schema: JSON schema of its arguments.
        function: async or plain; called with the arguments by name.
        arguments: reads what the model wrote; None for tools that check arguments themselves.
        timeout: seconds that a call may take; None for any time.
        retry: how a call that failed is made again; None if it is not.
        limit: how many of its calls run side by side in an event loop; None for any number.
        dollars: what each call costs.
        expects: seconds that a call is expected to take, until it is known.
        keep: whether results are kept in the Store, so that a resumed run takes them from there.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    function: Callable[..., Any]
    arguments: Arguments | None = field(default=None, repr=False)
    timeout: float | None = None
    retry: Retry | None = None
    limit: int | None = None
    dollars: float = 0.0
    expects: float | None = None
    keep: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"tool {self.name!r}: a name has up to 64 letters, digits, '_', '-' and '.'; "
                "write @tool(name=...)"
            )
        for name in ("timeout", "expects"):
            seconds = getattr(self, name)
            if seconds is not None:
                from weft.programs.timeouts import check_seconds  # few tools need it

                check_seconds(f"tool {self.name}", name, seconds)
        if self.limit is not None and not (type(self.limit) is int and self.limit > 0):
            raise UsageError(
                f"tool {self.name}: limit={self.limit!r} must be a whole number of at least 1"
            )
        if not (_number(self.dollars) and 0 <= self.dollars < math.inf):
            raise UsageError(f"tool {self.name}: dollars={self.dollars!r} must be 0 or more")

    @property
    def definition(self) -> dict[str, Any]:
        """The tool in OpenAI's form."""
        about = {"description": self.description} if self.description else {}
        return {
            "type": "function",
            "function": {"name": self.name, **about, "parameters": dict(self.schema)},
        }


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    timeout: float | None = None,
    retry: Retry | Mapping[str, Any] | int | None = None,
    limit: int | None = None,
    dollars: float = 0.0,
    expects: float | None = None,
    keep: bool = False,
) -> Callable[[F], F]: ...
def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    timeout: float | None = None,
    retry: Retry | Mapping[str, Any] | int | None = None,
    limit: int | None = None,
    dollars: float = 0.0,
    expects: float | None = None,
    keep: bool = False,
) -> Any:
    """Mark a function as a tool that a model may call.

        @tool(timeout=20)
        async def read(path: str, lines: int = 100) -> str:
            \"\"\"Read the beginning of a file.\"\"\"

        said = await generate(prompt, tools=[read])
        prompt = said.prompt.tools(await said.act())

    The function stays an ordinary function. The schema of its arguments comes from the
    signature, by pydantic, and what the model reads of it from the docstring. A plain function
    runs in a thread, which nothing can stop: a timeout leaves the thread to its end, and
    cancellation waits for the end, or for the timeout.

    Args:
        function: async or plain.
        name: for the model; the function's own by default.
        timeout: seconds that a call may take. Then its result says so.
        retry: how a call that raised is made again: a Retry, its fields, or its attempts alone.
        limit: how many calls of this tool run side by side.
        dollars: what each attempt costs; charged to the budgets in force.
        expects: seconds that a call may take, for the scheduler, until it has learned that.
        keep: with True, the run's Store keeps results. A resumed run then takes the result of
            the same call in the same conversation, and does not run the tool again.

    Raises:
        UsageError: an argument has no JSON schema, or a setting is out of range.
    """
    settings: dict[str, Any] = {
        "name": name,
        "timeout": timeout,
        "retry": retry,
        "limit": limit,
        "dollars": dollars,
        "expects": expects,
        "keep": keep,
    }
    mark = functools.partial(_mark, settings=settings)
    return mark if function is None else mark(function)


def _mark(function: F, settings: Mapping[str, Any]) -> F:
    made = _made(function, settings)
    try:
        vars(function)[_MARK] = made
    except TypeError:
        raise UsageError(f"@tool marks a function, not {function!r:.60}") from None
    return function


def _made(function: Callable[..., Any], settings: Mapping[str, Any]) -> Tool:
    own = getattr(function, "__name__", "")
    if not callable(function) or not own:
        raise UsageError(
            f"@tool marks a function, not {function!r:.60}; settings go by name, as in "
            "@tool(timeout=20)"
        )
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(f"@tool {own} must return a value; it yields several")
    from weft.programs.tools.arguments import arguments_of  # schemas cost as much as all of weft
    from weft.programs.tools.docstrings import described

    given = dict(settings)
    name = given.pop("name", None) or own
    if (retry := given.pop("retry", None)) is not None:
        given["retry"] = Retry.of(retry)
    description, about = described(function)
    arguments = arguments_of(function, name, about)
    return Tool(name, description, arguments.schema, function, arguments, **given)


def tools_of(given: Sequence[object]) -> dict[str, Tool]:
    """Tools by their names; functions that are not marked become tools without settings.

    Raises:
        UsageError: one is no function, has no schema, or has the name of another.
    """
    if isinstance(given, str) or not isinstance(cast(object, given), Sequence):
        raise UsageError(f"tools={given!r:.60} must be a list of functions")
    found: dict[str, Tool] = {}
    for one in given:
        made = _tool_of(one)
        if made.name in found:
            raise UsageError(f"two tools are named {made.name!r}; name one by @tool(name=...)")
        found[made.name] = made
    return found


def _tool_of(given: object) -> Tool:
    if isinstance(given, Tool):
        return given
    marked = getattr(given, _MARK, None)
    if isinstance(marked, Tool):  # of a method, the mark is of its function
        bound = isinstance(given, MethodType)
        return replace(marked, function=given) if bound else marked
    if not callable(given):
        raise UsageError(f"a tool is a function, not {given!r:.60}")
    return _made(given, {})


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
