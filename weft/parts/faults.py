"""Faults of users' code: exceptions of a part that a user brought, told in one sentence."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import Any, SupportsFloat, TypeVar, cast

from weft.concurrency import first_error
from weft.errors import PartFailed, WeftError
from weft.interrupts import must_pass

T = TypeVar("T")
_WEFT = str(Path(__file__).parents[1])
_PYTHON = str(Path(os.__file__).parent)
_NAMES: dict[type[Any], str] = {Real: "a number", SupportsFloat: "a number"}
_LONGEST = 2000  # characters of an exception's message; the exception itself has all of it


def place_of(part: Callable[..., object]) -> str:
    """Where a class or function is written, as `file:line`; its dotted name if nobody knows."""
    part = inspect.unwrap(part)
    try:
        file = inspect.getsourcefile(part)
        return f"{file}:{max(1, inspect.getsourcelines(part)[1])}"
    except (OSError, TypeError):
        pass  # typed into a notebook or a shell: the code of its methods still knows
    inner: Iterable[Any] = vars(part).values() if isinstance(part, type) else [part]
    found = [getattr(inspect.unwrap(one), "__code__", None) for one in inner if callable(one)]
    codes = [code for code in found if code is not None and code.co_filename != "<string>"]
    if codes:
        first = min(codes, key=lambda code: code.co_firstlineno)
        return f"{first.co_filename}:{first.co_firstlineno}"
    return f"{part.__module__}.{part.__qualname__}"


def raised_at(error: BaseException, file: str | None = None) -> str | None:
    """The innermost line of a file, or of any code but weft's, that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename == file or (file is None and _is_users(frame.filename)):
            return f"{frame.filename}:{frame.lineno}"
    return None


def _is_users(file: str) -> bool:
    """Whether code is neither weft's nor Python's own."""
    own = file.startswith((_WEFT, "<"))
    return not own and ("site-packages" in file or not file.startswith(_PYTHON))


def said(error: BaseException) -> str:
    """An exception's type and message; the type alone if its message can't be had."""
    message = " ".join((_text_of(str, error) or "").split())
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST - 3]}..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def sentence(
    kind: str,
    part: Callable[..., object],
    error: BaseException,
    outer: BaseException | None = None,
) -> str:
    """What went wrong in a part of a kind, with its name and the line that raised.

    Args:
        kind: what the part is.
        part: its class or function.
        error: that the part raised.
        outer: the group that the error came in, if any.
    """
    part = inspect.unwrap(part)
    try:
        file = inspect.getsourcefile(part)
    except TypeError:
        file = None
    if file is not None and file.startswith(_WEFT):  # what it was given is more likely wrong
        file = None
    # A StopIteration in a coroutine is another error's cause; errors of a group may have no line.
    errors = [one for one in (error, error.__cause__, outer) if one is not None]
    lines = [raised_at(one, file) for one in errors if file] + [raised_at(one) for one in errors]
    at = next(filter(None, lines), None) or place_of(part)
    return f"{kind} {part.__name__} failed at {at}: {said(error)}"


def expect(given: Any, wanted: type[Any], what: str, *, awaited: bool = False) -> Any:
    """What a part gave, if it is what is wanted.

    Args:
        given: by the part.
        wanted: the type that it must have.
        what: the part was asked for.
        awaited: the part's method is async, and was awaited.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(given, wanted):
        return given
    needed = _NAMES.get(wanted, wanted.__name__)
    if inspect.iscoroutine(given):
        given.close()
        if awaited:
            raise TypeError(f"{what} must be {needed}, not a coroutine; await it")
        raise TypeError(f"{what} is async, but must give {needed} at once; leave out async")
    raise TypeError(f"{what} must be {needed}, not {_shown(given)}")


def truth(given: Any, what: str) -> bool:
    """Whether a part said yes, if it said yes or no.

    Raises:
        TypeError: it said neither.
    """
    if given is True or given is False:
        return given
    if not inspect.iscoroutine(given) and type(given).__module__ == "numpy" and given in (0, 1):
        return bool(given)
    return expect(given, bool, what)


def _shown(given: object) -> str:
    text = _text_of(repr, given)
    if text is None:
        return f"an object of {type(given).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text_of(write: Callable[[object], str], given: object) -> str | None:
    """An object's text without half characters, which UTF-8 can't write; None if it has none."""
    try:
        return write(given).encode("utf-8", "backslashreplace").decode()
    except BaseException as error:
        if must_pass(error):
            raise
        return None


class blaming:
    """Whatever the block raises is the fault of a part, and says so.

    Errors of weft go through as they are, and so do interrupts and cancellations. A part that
    calls `sys.exit` has failed: it must not end what others run in this process; a program may.
    So has one that raises `KeyboardInterrupt` where a receiver gets Ctrl-C, as in a service.
    A part has failed, too, that raises `CancelledError` although nobody cancelled it, as when
    it awaits a task that was.

    Args:
        kind: what the part is: `task`, `strategy`.
        part: its class or function.

    Raises:
        PartFailed: the block raised something else, which is the `__cause__`.
    """

    __slots__ = ("_kind", "_part")

    def __init__(self, kind: str, part: Callable[..., object]) -> None:
        self._kind, self._part = kind, part

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            blame(self._kind, self._part, error)


def blame(kind: str, part: Callable[..., object], error: BaseException) -> None:
    """What `blaming` does with an exception; it returns where the exception goes on as it is."""
    if isinstance(error, WeftError):
        return
    if not isinstance(error, Exception) and _passes(kind, error):
        return
    first = first_error(error)
    if isinstance(first, WeftError):
        raise first
    raise PartFailed(sentence(kind, part, first, error)) from first


def _passes(kind: str, error: BaseException) -> bool:
    """Whether an exception that is no `Exception` is not the part's own doing."""
    if isinstance(error, BaseExceptionGroup):  # of a task group that is not weft's
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return any(not isinstance(e, Exception) and _passes(kind, e) for e in inner)
    if isinstance(error, SystemExit):
        return kind == "program"  # which is what the process runs
    return must_pass(error)


def each(
    kind: str,
    part: Callable[..., object],
    items: Callable[[], Iterable[T]],
    wanted: type[Any] | tuple[type[Any], ...] = object,
) -> Iterator[T]:
    """What a part yields, with its faults put down to it.

    Args:
        kind: what the part is.
        part: its class or function.
        items: what it yields.
        wanted: what each must be.

    Raises:
        PartFailed: the part raised something, or yields something else.
    """
    with blaming(kind, part):
        found = iter(expect(items(), Iterable, "it"))
    while True:
        with blaming(kind, part):
            try:
                item = next(found)
            except StopIteration:
                return
            if not isinstance(item, wanted):
                names = wanted if isinstance(wanted, tuple) else (wanted,)
                needed = " or ".join(one.__name__ for one in names)
                raise TypeError(f"it gave {_shown(item)} where {needed} is needed")
        yield item
