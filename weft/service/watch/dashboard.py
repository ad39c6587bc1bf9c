"""The dashboard: one page without anything from elsewhere, and the data that it asks for."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files

import msgspec
import xxhash
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from weft.service.watch.overview import Overview

Handler = Callable[[Request], Awaitable[Response]]

_FRESH = 0.5  # seconds in which all who ask get the same


def routes(overview: Overview, guard: Callable[[Handler], Handler]) -> list[Route]:
    """`/`, which is no secret, and `/dashboard/data`, which is.

    Args:
        overview: what is shown.
        guard: makes of a handler one that refuses, with 401 or 403, who has no admin key.
    """
    page, headers = _page()
    data = _Data(overview)

    async def root(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(page, media_type="text/html", headers=headers)

    async def state(request: Request) -> Response:
        return data.answer(request.headers.get("if-none-match"))

    return [Route("/", root), Route("/dashboard/data", guard(state))]


class _Data:
    """The overview as JSON, drawn up at most so often however many look at it."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self._encoder = msgspec.json.Encoder()
        self._body, self._tag, self._made = b"", "", 0.0

    def answer(self, known: str | None) -> Response:
        """The answer to someone who knows the state of that tag."""
        now = time.time()
        if not 0 <= now - self._made < _FRESH:
            self._body = self._encoder.encode(self._overview.view(now))
            self._tag, self._made = f'"{xxhash.xxh3_64_hexdigest(self._body)}"', now
        # The page draws by this clock: its own may be off.
        headers = {"etag": self._tag, "cache-control": "no-store", "weft-now": f"{now:.3f}"}
        if known is not None and known.removeprefix("W/") == self._tag:  # proxies weaken it
            return Response(status_code=304, headers=headers)
        return Response(self._body, media_type="application/json", headers=headers)


def _page() -> tuple[bytes, dict[str, str]]:
    """The page, and headers that allow what stands in it and nothing else."""
    text = (files("weft.service.watch") / "dashboard.html").read_text(encoding="utf-8")
    script, style = (
        " ".join(f"'{_hash(inner)}'" for inner in re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S))
        for tag in ("script", "style")
    )
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )
    page = text.encode()
    return page, {
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",
        "etag": f'"{xxhash.xxh3_64_hexdigest(page)}"',
    }


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
