"""Running a program in a sandbox, within limits, on asyncio and trio.

The process is started by this thread: bubblewrap ends with the thread that started bubblewrap, and
a worker thread of trio would end after ten idle seconds. Pipes and the process are waited for
by their descriptors.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import PurePosixPath

import anyio
from anyio.lowlevel import RunVar

from weft.concurrency import TaskGroup, now
from weft.errors import UsageError
from weft.sandbox.bubblewrap import (
    WORK,
    check_sandbox,
    command_line,
    environment,
    is_system,
)
from weft.sandbox.memory import memory_of
from weft.sandbox.result import Ended, SandboxLimits, SandboxResult

Files = Mapping[str, str | bytes]

_PIECE = 1 << 16
_LOOK = 0.05
"""Seconds between two looks at how much memory a program has."""
_NO_MEMORY = re.compile(r"\bMemoryError\b|bad_alloc|[Cc]annot allocate memory|[Oo]ut of memory")
_FAILED = ("bwrap: ", "setpriv: ", "prlimit: ")
_SIGXCPU = 128 + 24
_at_once: RunVar[anyio.CapacityLimiter] = RunVar("sandboxes at once")


async def run_python(
    code: str,
    *,
    stdin: str = "",
    files: Files | None = None,
    limits: SandboxLimits | None = None,
) -> SandboxResult:
    """Run a Python program, by the Python that runs weft.

    Args:
        code: the program; it is `main.py` in the work folder.
        stdin: what the program can read.
        files: content of further files by their names in the work folder.
        limits: what the program may use.

    Raises:
        UsageError: there is no sandbox here, or a file's name leads out of the work folder.
    """
    given = {**(files or {}), "main.py": code}
    python = [sys.executable, f"{WORK}/main.py"]
    return await run_command(python, stdin=stdin, files=given, limits=limits)


async def run_shell(
    command: str,
    *,
    stdin: str = "",
    files: Files | None = None,
    limits: SandboxLimits | None = None,
) -> SandboxResult:
    """Run a command of the shell `sh`; arguments and errors are those of `run_python`."""
    return await run_command(["sh", "-c", command], stdin=stdin, files=files, limits=limits)


async def run_command(
    command: Sequence[str],
    *,
    stdin: str = "",
    files: Files | None = None,
    limits: SandboxLimits | None = None,
    folders: Sequence[str] = (),
) -> SandboxResult:
    """Run a program with its arguments; arguments and errors are those of `run_python`.

    The program may write into `folders` too, such as `/app`, which are empty at first. A command
    that is not there is an error, and so is a folder of the system. No more programs run at once
    than there are CPUs: the others wait, and their seconds have not begun. A program that is
    cancelled is ended with all that it started.
    """
    check_sandbox()
    if any("\0" in part for part in command):
        raise UsageError("a command for a sandbox can't hold the character NUL; leave it out")
    limits = limits or SandboxLimits()
    for folder in folders:
        if not folder.startswith("/") or ".." in folder.split("/") or is_system(folder):
            raise UsageError(f"{folder} can't be a folder of a sandbox's own; take one like /app")
    async with _turn():
        with ExitStack() as opened:
            given = [(name, _held(opened, data)) for name, data in _named(files or {}).items()]
            process = subprocess.Popen(  # noqa: ASYNC220 - in this thread, see above
                command_line(command, limits, given, folders),
                env=environment(),
                stdin=_held(opened, stdin),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[descriptor for _, descriptor in given],
                start_new_session=True,
                bufsize=0,
            )
        return await _Running(process, limits).result()


def _turn() -> anyio.CapacityLimiter:
    """What lets as many programs run at once as there are CPUs."""
    try:
        return _at_once.get()
    except LookupError:
        _at_once.set(limiter := anyio.CapacityLimiter(os.cpu_count() or 1))
        return limiter


def _named(files: Files) -> Files:
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
            raise UsageError(f"{name!r} is no file in a sandbox's work folder; name one below it")
    return files


def _held(opened: ExitStack, data: str | bytes) -> int:
    """A descriptor from which a text can be read."""
    held = os.memfd_create("weft")
    opened.callback(os.close, held)
    with open(held, "wb", closefd=False) as file:
        file.write(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    os.lseek(held, 0, os.SEEK_SET)
    return held


class _Running:
    """A program that runs."""

    def __init__(self, process: subprocess.Popen[bytes], limits: SandboxLimits) -> None:
        self._process, self._limits = process, limits
        self._limit: Ended | None = None

    async def result(self) -> SandboxResult:
        """Wait for the program's end, or end the program at its first limit."""
        began = now()
        process, printed = self._process, (bytearray(), bytearray())
        assert process.stdout is not None
        assert process.stderr is not None
        with closing(process.stdout), closing(process.stderr):
            try:
                with anyio.move_on_after(self._limits.seconds) as time:
                    async with TaskGroup() as tasks:
                        watch = anyio.CancelScope()
                        tasks.start_soon(self._watch, watch)
                        async with TaskGroup() as both:
                            for pipe, kept in zip(
                                (process.stdout, process.stderr), printed, strict=True
                            ):
                                both.start_soon(self._read, pipe.fileno(), kept)
                        await self._exited()
                        watch.cancel()
            finally:
                process.kill()  # and with it all that it started, since it dies with its parent
                process.wait()
        if time.cancelled_caught and self._limit is None:
            self._limit = "seconds"
        out, err = (bytes(kept).decode("utf-8", "replace") for kept in printed)
        ended, code = self._ended(err)
        if code and err.startswith(_FAILED) and not out:
            # It says nothing of the program, which has not begun.
            raise UsageError(f"the sandbox could not begin: {err.strip()[:300]}; try again")
        return SandboxResult(ended, code, out, err, round(now() - began, 4))

    def _ended(self, stderr: str) -> tuple[Ended, int | None]:
        if self._limit is not None:
            return self._limit, None
        code = self._process.returncode
        if code == _SIGXCPU:
            return "cpu", None
        if code and _NO_MEMORY.search(stderr[-2000:]):
            return "memory", None
        return "exit", code

    async def _read(self, pipe: int, kept: bytearray) -> None:
        """Keep what comes through a pipe until its end; end the program if it is too much."""
        os.set_blocking(pipe, False)
        while True:
            await anyio.wait_readable(pipe)
            try:
                piece = os.read(pipe, _PIECE)
            except BlockingIOError:
                continue
            room = self._limits.output - len(kept)
            kept += piece[:room]
            if len(piece) > room:
                self._end("output")
            if len(piece) > room or not piece:
                return

    async def _exited(self) -> None:
        ends = os.pidfd_open(self._process.pid)
        try:
            await anyio.wait_readable(ends)
        finally:
            os.close(ends)
        self._process.wait()

    async def _watch(self, scope: anyio.CancelScope) -> None:
        """End the program if all its processes together have too much memory."""
        with scope:
            while self._limit is None:
                await anyio.sleep(_LOOK)
                if memory_of(self._process.pid) > self._limits.memory:
                    self._end("memory")

    def _end(self, limit: Ended) -> None:
        self._limit = self._limit or limit
        self._process.kill()
