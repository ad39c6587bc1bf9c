"""The page of `weft eval watch --page`: how an evaluation goes, by its records, in a browser.

A server of the standard library, for this machine alone. It reads the folder and changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, cast

from weft.errors import WeftError
from weft.evals.records import Row
from weft.evals.statistics.intervals import CONFIDENCE, wilson
from weft.evals.statistics.plain import critical
from weft.evals.viewing.following import Following, Progress
from weft.evals.viewing.why import outcome, why

HOST = "127.0.0.1"
_FRESH = 0.5
"""Seconds in which all who ask get the same."""
_SHORT, _LONG = 120, 4000
"""Letters of an answer in the list, and of a text that is opened."""


def view(following: Following, now: float) -> dict[str, Any]:
    """What the page shows, as plain data."""
    usage = following.usage
    return {
        "now": now,
        "path": str(following.path),
        "title": following.title,
        "running": following.running,
        "rate": following.rate(now),
        "left": following.left(now),
        "calls": usage.calls,
        "prompt": usage.prompt,
        "cached": usage.cached,
        "generated": usage.generated,
        "dollars": usage.dollars,
        "strategies": [_strategy(name, one) for name, one in following.strategies.items()],
        "latest": [_sample(row) for row in following.latest],
    }


def _strategy(name: str, progress: Progress) -> dict[str, Any]:
    done, right, wrong = progress.done, progress.count("right"), progress.count("wrong")
    low, high = wilson(right / done, done, critical(CONFIDENCE, None)) if done else (0.0, 1.0)
    return {
        "name": name,
        "total": progress.total,
        "done": done,
        "right": right,
        "wrong": wrong,
        "none": done - right - wrong,
        "error": progress.count("error"),
        "low": low,
        "high": high,
        "tokens": progress.usage.computed,
    }


def _sample(row: Row) -> dict[str, Any]:
    return {
        "key": f"{row.strategy} {row.id} {row.repeat}",
        "strategy": row.strategy,
        "id": row.id,
        "repeat": row.repeat,
        "at": row.at,
        "outcome": outcome(row),
        "answer": _cut((row.error if row.error is not None else row.answer) or "", _SHORT),
        "seconds": row.seconds,
        "why": [_cut(sentence, _LONG) for sentence in why(row)],
        "question": _cut(row.question[-1]["content"] if row.question else "", _LONG),
        "text": _cut(row.text or "", _LONG),
    }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + " ..."


class WatchServer(ThreadingHTTPServer):
    """Serves the page and its data.

    Args:
        following: the evaluation.
        port: 0 for any that is free.

    Attributes:
        url: of the page.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, following: Following, port: int = 0) -> None:
        super().__init__((HOST, port), _Handler)
        self.url = f"http://{HOST}:{self.server_port}/"
        self.page, self.headers = _page()
        self._following, self._turn = following, threading.Lock()
        self._body, self._made = b"", 0.0

    def data(self) -> bytes:
        """What is known now, as JSON; looked up at most so often however many ask."""
        with self._turn:
            now = time.time()
            if not 0 <= now - self._made < _FRESH:
                problem = ""
                try:
                    self._following.look()
                except (WeftError, OSError) as e:
                    problem = str(e)
                found = view(self._following, now) | {"problem": problem}
                self._body, self._made = json.dumps(found, default=str).encode(), now
            return self._body

    @contextmanager
    def running(self) -> Generator[str]:
        """Serve from a thread of its own within the block; gives the address."""
        thread = threading.Thread(target=self.serve_forever, name="watch", args=(0.1,))
        thread.start()
        try:
            yield self.url
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_version = "weft"
    sys_version = ""

    def do_GET(self) -> None:
        # Other names might be a web page's own, that it has had resolved to this machine.
        host, site = self.headers.get("Host", "").rpartition(":")[0], cast(WatchServer, self.server)
        if host not in (HOST, "localhost"):
            self._send(403, "text/plain", b"this page is only for this machine\n", {})
        elif self.path == "/":
            self._send(200, "text/html; charset=utf-8", site.page, site.headers)
        elif self.path == "/data":
            self._send(200, "application/json", site.data(), {"Cache-Control": "no-store"})
        else:
            self._send(404, "text/plain", b"there is only /\n", {})

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _page() -> tuple[bytes, dict[str, str]]:
    """The page, and headers that allow what stands in it and nothing else."""
    text = (files("weft.evals.viewing") / "watch.html").read_text(encoding="utf-8")
    script, style = (
        " ".join(f"'{_hash(inner)}'" for inner in re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S))
        for tag in ("script", "style")
    )
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )
    return text.encode(), {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
