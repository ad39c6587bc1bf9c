"""`weft` as a process of its own.

It is forked from a process that has imported weft already, for importing takes seconds of CPU time
and tests start many.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from subprocess import TimeoutExpired

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "weft.cli.main",
        "weft.backends.mock.server",
        "weft.backends.vllm",
        "weft.evals.running.runner",
        "weft.search",
        "weft.service.server",
        "weft.simulation.simulate",
        "weft.store.store",
    ]
)


class WeftProcess:
    """A `weft` command that runs.

    Args:
        arguments: of the command.
        log: the file to which what it says is appended.
    """

    def __init__(self, *arguments: str, log: Path) -> None:
        environment = dict(os.environ)
        given = arguments, os.getcwd(), environment, str(log)
        self._process = _context.Process(target=_run, args=given)
        self._process.start()
        assert self._process.pid is not None
        self.pid, self.log = self._process.pid, log

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        """Wait until it has ended; gives the exit code.

        Raises:
            TimeoutExpired: it has not ended within these seconds.
        """
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise TimeoutExpired("weft", seconds or 0)
        return self._process.exitcode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def end(self) -> None:
        """Terminate it; kill it if it does not end."""
        self.terminate()
        try:
            self.wait(30)
        except TimeoutExpired:
            self.kill()
            self.wait()

    def said(self) -> str:
        """What it has said."""
        return self.log.read_text()


def _run(arguments: tuple[str, ...], folder: str, environment: dict[str, str], log: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, number in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(file, number)
    sys.stdin = open(0)  # noqa: SIM115 - multiprocessing has put another in its place
    sys.argv = ["weft", *arguments]
    from weft.cli.main import main

    main()
