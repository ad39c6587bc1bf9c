"""The sandbox for code that can't await: what calls it waits, and so does its event loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio

from weft.sandbox.result import SandboxLimits, SandboxResult
from weft.sandbox.run import Files, run_command, run_python

_turns = threading.BoundedSemaphore(os.cpu_count() or 1)
"""As many programs run at once as there are CPUs, whatever loops and threads they come from."""


def run_python_blocking(
    code: str,
    *,
    stdin: str = "",
    files: Files | None = None,
    limits: SandboxLimits | None = None,
) -> SandboxResult:
    """As `run_python`, in a thread and an event loop of its own.

    Raises:
        UsageError: there is no sandbox here, or a file's name leads out of the work folder.
    """
    return _done(partial(run_python, code, stdin=stdin, files=files, limits=limits))


def run_shell_blocking(
    command: str,
    *,
    files: Files | None = None,
    limits: SandboxLimits | None = None,
    folders: Sequence[str] = (),
) -> SandboxResult:
    """Run a command of the shell `bash` as `run_command` does, in a thread and a loop of its own.

    Raises:
        UsageError: there is no sandbox here, or a name leads where it may not.
    """
    line = ["bash", "-c", command]
    return _done(partial(run_command, line, files=files, limits=limits, folders=folders))


def _done(call: Callable[[], Awaitable[SandboxResult]]) -> SandboxResult:
    found: list[SandboxResult | BaseException] = []

    def work() -> None:
        try:
            with _turns:
                found.append(anyio.run(call))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work, name="sandbox")
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]
