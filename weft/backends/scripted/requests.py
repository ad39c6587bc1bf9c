"""What a scripted engine knows of requests, those that came over HTTP above all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from weft.backends.scripted.script import Scripted
from weft.types import Request

KEPT = 1000
"""How many requests an engine remembers, at least."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came.

    Attributes:
        method: such as `POST`.
        path: such as `/v1/messages`, without the query.
        query: what follows the question mark.
        headers: by names in lower case.
        body: what its JSON says; None if it is no JSON.
        raw: the body's bytes.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Any
    raw: bytes

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        """The definitions of the tools offered, by name; those in namespaces are `space__name`.

        A tool of the server's that has no name goes by its type, such as `web_search`.
        """
        body: dict[str, Any] = cast("dict[str, Any]", self.body) if named(self.body) else {}
        return dict(_tools(body.get("tools"), ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRequest(Request):
    """A request to generate that came over HTTP; scripts can tell by it which client asks.

    Its `messages` hold everything that was said: calls of tools as `script.written` writes
    them, and what came of them as messages of the role `tool`.

    Attributes:
        http: how it came.
        salt: keeps its prompt apart in the prefix cache.
    """

    http: Received
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that has been taken in: its prompt, and its answer if it is to have one."""

    request: Request
    tokens: tuple[int, ...]
    answer: Scripted | None

    @property
    def salt(self) -> str:
        """What keeps its prompt apart in the prefix cache."""
        return self.request.salt if isinstance(self.request, ScriptRequest) else ""


def named(value: object) -> bool:
    """Whether a piece of JSON is an object."""
    return isinstance(value, dict)


def _tools(listed: Any, space: str) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for tool in cast("list[Any]", listed) if isinstance(listed, list) else []:
        if not named(tool):
            continue
        inner: dict[str, Any] = tool["function"] if named(tool.get("function")) else tool
        name = str(inner.get("name") or inner.get("type"))
        if inner.get("type") == "namespace":
            found += _tools(inner.get("tools"), f"{name}__")
        else:
            found.append((space + name, inner))
    return found
