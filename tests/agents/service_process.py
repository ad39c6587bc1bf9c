"""`weft serve` as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ports import free_port

_PATIENCE = 50.0
"""Seconds, a little less than a test may take: so the failure says what was waited for."""

COMMAND = [sys.executable, "-c", "from weft.cli.main import main; main()"]


@contextmanager
def serving(log: Path, *arguments: str) -> Iterator[str]:
    """The address of a `weft serve` with these arguments; what it says goes to `log`."""
    port = free_port()
    command = [*COMMAND, "serve", *arguments, "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_ready(process, url, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until the service says that it is ready."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=_PATIENCE):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise AssertionError(f"weft serve did not become ready; it said:\n{log.read_text()}")
