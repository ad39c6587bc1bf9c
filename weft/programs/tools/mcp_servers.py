"""Tools of MCP servers (Model Context Protocol), by the `mcp` package."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, cast

from weft.backends.retry import Retry
from weft.concurrency import first_error, single_error
from weft.errors import ConfigError, PartFailed, UsageError
from weft.extras import need
from weft.parts.faults import said
from weft.programs.media import image
from weft.programs.tools.marking import Tool
from weft.types import Media

_OTHER = re.compile(r"[^A-Za-z0-9_.-]")


@asynccontextmanager
async def mcp_tools(
    server: str | Sequence[str] | Any,
    *,
    prefix: str = "",
    only: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    retry: Retry | Mapping[str, Any] | int | None = None,
    limit: int | None = None,
    expects: float | None = None,
) -> AsyncGenerator[list[Tool]]:
    """The tools of an MCP server, for the time of the block.

        async with mcp_tools(["python", "server.py"]) as tools:
            said = await generate(prompt, tools=[*tools, read])

    The server checks arguments itself. What it calls an error is a result that the model reads.

    Args:
        server: a command with its arguments, which is started and spoken to by its stdin and
            stdout; or a URL (Streamable HTTP); or what else `mcp.Client` takes.
        prefix: of the tools' names, where several servers have tools of one name.
        only: names of the tools that are wanted, without the prefix; None for all.
        env: variables of a command besides the few that are safe to pass on.
        timeout: seconds that a call may take.
        retry: how a call that failed is made again.
        limit: how many calls of each tool run side by side.
        expects: seconds that a call may take, for the scheduler.

    Raises:
        MissingExtra: the `mcp` package is not installed.
        ConfigError: the server can't be reached or started.
        UsageError: it has no tool of a name in `only`.
    """
    need("mcp", "mcp_tools")
    mcp: Any = import_module("mcp")
    given: Any = server
    if not isinstance(server, str) and isinstance(server, Sequence):
        command, *arguments = [str(one) for one in cast("Sequence[Any]", server)]
        variables = dict(env) if env is not None else None
        given = mcp.StdioServerParameters(command=command, args=arguments, env=variables)
    settings = {"timeout": timeout, "limit": limit, "expects": expects}
    if retry is not None:
        settings["retry"] = Retry.of(retry)  # pyright: ignore[reportArgumentType]
    client = mcp.Client(given)
    try:
        await client.__aenter__()
    except Exception as error:
        why = said(first_error(error))
        raise ConfigError(f"the MCP server {server!r} can't be reached: {why}") from error
    try:
        yield await _offered(client, prefix, only, settings)
    except Exception:
        await client.__aexit__(None, None, None)  # which would put the error into a group
        raise
    except BaseException as error:
        with single_error():
            if not await client.__aexit__(type(error), error, error.__traceback__):
                raise
    else:
        await client.__aexit__(None, None, None)


async def _offered(
    client: Any, prefix: str, only: Sequence[str] | None, settings: Mapping[str, Any]
) -> list[Tool]:
    found: list[Any] = []
    page = await client.list_tools()
    found += page.tools
    while page.next_cursor:
        page = await client.list_tools(cursor=page.next_cursor)
        found += page.tools
    names = [one.name for one in found]
    for name in only or ():
        if name not in names:
            raise UsageError(f"the MCP server has no tool {name!r}, but {', '.join(names)}")
    return [
        Tool(
            _OTHER.sub("_", prefix + one.name),
            one.description or "",
            one.input_schema,
            _caller(client, one.name),
            **settings,
        )
        for one in found
        if only is None or one.name in only
    ]


def _caller(client: Any, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def call(**arguments: Any) -> Any:
        result = await client.call_tool(name, arguments)
        parts = [_said(one) for one in result.content]
        text = "\n".join([one for one in parts if isinstance(one, str)])
        if result.is_error:
            raise PartFailed(text)
        if any(isinstance(one, Media) for one in parts):
            return parts
        structured: Any = result.structured_content
        if isinstance(structured, dict):
            structured = cast("dict[str, Any]", structured)
            if list(structured) == ["result"]:
                return structured["result"]  # as servers wrap plain values
        return text if structured is None else structured

    call.__name__ = name
    return call


def _said(content: Any) -> str | Media:
    """What a piece of a result says or shows; of what is neither text nor image, its kind."""
    if getattr(content, "type", "") == "image":
        return image(f"data:{content.mime_type};base64,{content.data}")
    text = getattr(content, "text", None)
    if text is None:
        text = getattr(getattr(content, "resource", None), "text", None)
    return text if isinstance(text, str) else f"[{getattr(content, 'type', 'content')}]"
