"""Comparing formulas in a process of its own, which is ended if one takes too long."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue

_SECONDS = 60.0 if sys.platform != "win32" else 3.0
"""How long one comparison may take by the clock; `math_worker` bounds what it may compute."""
_START = 60.0
"""How long the process may take to begin."""
_WORKER = Path(__file__).with_name("math_worker.py")


class MathProcess:
    """Starts when it is first wanted, and again after a formula that took too long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._replies: SimpleQueue[str] = SimpleQueue()
        self._ready = False

    def start(self) -> None:
        """Begin loading what comparing needs, without waiting for it."""
        with self._lock:
            self._started()

    def same(self, a: str, b: str) -> bool:
        """Whether two formulas are equal; False if that takes too long."""
        with self._lock:
            process = self._started()
            try:
                if not self._ready:
                    self._ready = self._replies.get(timeout=_START) == "ready\n"
                assert process.stdin is not None
                process.stdin.write(json.dumps([a, b]) + "\n")
                process.stdin.flush()
                reply = self._replies.get(timeout=_SECONDS)
                if not reply:
                    self._end()
                return reply == "true\n"
            except (Empty, OSError):
                self._end()
                return False

    def close(self) -> None:
        """End the process, if it runs."""
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
            self._replies, self._ready = SimpleQueue(), False
            threading.Thread(
                target=_hand_on, args=(self._process, self._replies), daemon=True
            ).start()
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                with suppress(OSError):  # what was not written yet can't be
                    self._process.stdin.close()
            self._process = None


def _hand_on(process: subprocess.Popen[str], replies: SimpleQueue[str]) -> None:
    """Put a process's lines into a queue; the last is empty."""
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            replies.put(line)
    replies.put("")


PROCESS = MathProcess()
atexit.register(PROCESS.close)


@lru_cache(maxsize=8192)
def same_formula(a: str, b: str) -> bool:
    """Whether two formulas are equal; False if they can't be read, or that takes too long."""
    return PROCESS.same(*sorted((a, b)))
