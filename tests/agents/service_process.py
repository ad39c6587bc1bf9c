"""`weft serve` as a process of its own."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ports import free_port
from waiting import PATIENCE
from weft_process import WeftProcess


@contextmanager
def serving(log: Path, *arguments: str) -> Iterator[str]:
    """The address of a `weft serve` with these arguments; what it says goes to `log`."""
    port = free_port()
    process = WeftProcess("serve", *arguments, "--port", str(port), log=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_ready(process, url, log)
        yield url
    finally:
        process.end()


def wait_ready(process: WeftProcess, url: str, log: Path) -> None:
    """Wait until the service says that it is ready."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=PATIENCE):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise AssertionError(f"weft serve did not become ready; it said:\n{log.read_text()}")
