"""Every error that weft raises on purpose.

    WeftError
    ├── UsageError              what was asked for can't be done as asked
    │   ├── UnknownName         no such strategy, task, parameter, engine ...; names the nearest
    │   ├── ConfigError         a file says something wrong; names line and field
    │   ├── Unsupported         the engine can't do this
    │   ├── RunChanged          a program no longer does what its run did before
    │   └── MissingExtra        a library that this part of weft needs is not installed
    ├── EngineError             an engine failed
    │   ├── EngineUnavailable   the engine does not answer, or died on the way
    │   │   └── EngineSilent    the engine has said nothing for too long
    │   ├── EngineBusy          the engine can take nothing more for now
    │   ├── RequestFailed       the engine failed at this request: a 500, an empty or cut answer
    │   ├── RequestRejected     the engine refused the request and said why
    │   ├── ContextExceeded     the prompt is longer than the model's context
    │   ├── NotAnEngine         what answers is not an inference server
    │   └── WrongModel          the engine serves another model than was asked for
    ├── Refused                 the service turns a request down, for now or for good
    ├── BudgetExceeded          a limit on tokens, calls, seconds or dollars was reached
    ├── TimedOut                a node, tool or retriever took longer than its timeout
    ├── RunCancelled            another process has cancelled the run
    ├── OutputError             an answer does not have the form that was asked for
    ├── PartFailed              a strategy, task, verifier ... raised an exception of its own
    └── StoreError              a store can't be read or does not belong to this run

What follows for the engine depends on the kind. After `EngineUnavailable` the engine is asked
whether it is well, and gets no calls until it is. After `EngineBusy` the engine gets fewer calls,
later. The other errors concern one request alone.

Each message is one sentence that says what is wrong and what helps. The command line prints the
sentence and exits with code 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class WeftError(Exception):
    """Base of all errors raised by weft. Errors keep their fields in another process too."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are unpickled by calling them with their message, which is not what the
        # constructors of ours take.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[WeftError], args: tuple[Any, ...], fields: dict[str, Any]) -> WeftError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


class UsageError(WeftError, ValueError):
    """What was asked for can't be done as asked."""


class UnknownName(UsageError):
    """A name that weft does not know; the message names the nearest ones.

    Args:
        kind: what it should be a name of.
        name: the name.
        known: the names that there are.
        remedy: what else helps.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        from difflib import get_close_matches  # for this alone

        known = sorted(known)
        near = get_close_matches(str(name), known, n=3, cutoff=0.4) or known[:12]
        meant = f"did you mean {', '.join(near)}?" if near else "none is known"
        super().__init__(f"unknown {kind} {name!r}; {meant}{remedy and f' {remedy}'}")
        self.kind, self.name, self.known = kind, name, known


class ConfigError(UsageError):
    """A configuration file says something wrong."""


class Unsupported(UsageError):
    """The engine can't do what was asked of it."""


class RunChanged(UsageError):
    """A run that is resumed no longer does what it did before, so its deeds can't be matched."""


class MissingExtra(UsageError):
    """A library that this part of weft needs is not installed."""


class EngineError(WeftError):
    """An engine failed."""


class EngineUnavailable(EngineError):
    """An engine does not answer, or died on the way. The call may be tried elsewhere."""


class EngineSilent(EngineUnavailable):
    """An engine has said nothing for so long that it is taken for dead."""


class EngineBusy(EngineError):
    """An engine can take nothing more for now. The call may be sent again later.

    Attributes:
        retry_after: seconds after which the engine says to come again; None if it does not say.
        status: of its answer over HTTP.
    """

    def __init__(self, message: str, retry_after: float | None = None, status: int = 429) -> None:
        super().__init__(message)
        self.retry_after, self.status = retry_after, status


class RequestFailed(EngineError):
    """An engine failed at this request, and may be well: it broke down, or its answer is none.

    Attributes:
        status: of its answer over HTTP; 200 for an answer that is empty, cut off or garbled.
        said: what the engine itself said of it; empty if it said nothing.
    """

    def __init__(self, message: str, status: int = 200, said: str = "") -> None:
        super().__init__(message)
        self.status, self.said = status, said


class NotAnEngine(EngineError):
    """Something answers at the address, but not as an inference server does."""


class WrongModel(EngineError):
    """The engine serves another model than the one asked for."""


class ContextExceeded(EngineError):
    """The prompt is longer than the model's context.

    Attributes:
        prompt: tokens of the prompt; None if that is not known.
        context: tokens that the context holds; None if that is not known.
    """

    def __init__(self, message: str, prompt: int | None = None, context: int | None = None) -> None:
        super().__init__(message)
        self.prompt, self.context = prompt, context


class RequestRejected(EngineError):
    """The engine refused the request and said why."""


class Refused(WeftError):
    """The service turns a request down.

    Attributes:
        status: of the HTTP answer.
        retry_after: seconds after which it may be accepted; None if it never will be.
        code: a word for programs, where the status does not say it all.
    """

    def __init__(
        self,
        status: int,
        message: str,
        retry_after: float | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.retry_after, self.code = status, retry_after, code


class BudgetExceeded(WeftError):
    """A budget was used up, or a call needs more than is left of it.

    Attributes:
        resource: `tokens`, `calls`, `seconds` or `dollars`.
        limit: the budget's limit.
        spent: what had been spent of it.
        prompt: tokens of the prompt that what was left is too small for; 0 if it was used up.
        text: what the call had written when the budget cut it off.
    """

    def __init__(
        self, resource: str, limit: float, spent: float, prompt: int = 0, text: str = ""
    ) -> None:
        if prompt:
            said = (
                f"has no room for a prompt of {prompt} tokens and an answer ({spent:g} spent); "
                f"shorten the prompt, or raise {resource}"
            )
        else:
            said = f"used up ({spent:g} spent)"
        super().__init__(f"budget of {limit:g} {resource} {said}")
        self.resource, self.limit, self.spent = resource, limit, spent
        self.prompt, self.text = prompt, text


class TimedOut(WeftError, TimeoutError):
    """A part of a program took longer than its timeout. What ran in it was cancelled.

    Attributes:
        name: of the node, tool or retriever.
        seconds: that it had.
    """

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(
            f"{name} took longer than {seconds:g} s; give it less to do, or a longer timeout"
        )
        self.name, self.seconds = name, seconds


class RunCancelled(WeftError):
    """Another process has cancelled the run."""


class OutputError(WeftError):
    """An answer does not have the form that was asked for.

    Attributes:
        completion: the `Completion` with the answer, if the answer came from a call.
        errors: what is wrong with the answer, a sentence for each field.
    """

    def __init__(self, message: str, completion: Any = None, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.completion, self.errors = completion, errors


class PartFailed(WeftError):
    """A strategy, task, verifier or workload raised an exception that is not weft's.

    The message names the class, the line and the exception, which is the `__cause__`.
    """


class StoreError(WeftError):
    """A store can't be read, or does not belong to this run."""
