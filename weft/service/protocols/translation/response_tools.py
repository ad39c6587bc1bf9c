"""The tools of a responses request, told as the functions of chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson

from weft.errors import UsageError
from weft.service.protocols.events import member
from weft.service.protocols.protocol import Body
from weft.service.protocols.translation.translation import cannot

LOCAL_SHELL, TOOL_SEARCH = "local_shell", "tool_search"
"""Types of tools that clients run and models know by themselves; as functions they have the same
name."""

_SHELL: Body = {
    "description": "Runs a command on the user's machine.",
    "parameters": {
        "type": "object",
        "properties": {
            "command": {"type": "array", "items": {"type": "string"}},
            "working_directory": {"type": "string"},
            "timeout_ms": {"type": "integer"},
        },
        "required": ["command"],
    },
}


def offered(body: Body) -> list[Body]:
    """The tools that a request offers, those among them that the model has found in its course."""
    given: Any = body.get("input")
    items = cast(list[Body], given) if isinstance(given, list) else []
    found = [item.get("tools") for item in items if item.get("type") == "tool_search_output"]
    return [
        cast(Body, tool)
        for tools in (body.get("tools"), *found)
        for tool in (cast(list[Any], tools) if isinstance(tools, list) else [])
        if isinstance(tool, dict)
    ]


def run_by_client(tool: Body) -> bool:
    """Whether a client runs a tool that is no function; OpenAI's servers may search for tools."""
    kind = tool.get("type")
    return kind == LOCAL_SHELL or (kind == TOOL_SEARCH and tool.get("execution") == "client")


def functions(body: Body) -> list[Body]:
    """Tools that the client runs. Of those that OpenAI's servers run nothing is told."""
    tools: dict[str, Body] = {}
    for tool in offered(body):
        match tool.get("type"):
            case "function":
                _add(tools, tool, str(tool.get("name")))
            case "namespace":
                for inner in cast(list[Body], tool.get("tools") or []):
                    if inner.get("type") == "function":
                        _add(tools, inner, f"{tool.get('name')}__{inner.get('name')}")
            case "custom":
                text = {"type": "string", "description": _grammar(tool)}
                schema = {"type": "object", "properties": {"input": text}, "required": ["input"]}
                _add(tools, {**tool, "parameters": schema}, str(tool.get("name")))
            case kind if run_by_client(tool):
                _add(tools, _SHELL if kind == LOCAL_SHELL else tool, str(kind))
            case _:
                pass
    return list(tools.values())


def shell_action(arguments: Any) -> Body:
    """What a shell is to do, by the arguments that a model gave."""
    given = cast(Body, arguments) if isinstance(arguments, dict) else {}
    command = given.get("command")
    if isinstance(command, str):
        given = {**given, "command": ["bash", "-lc", command]}
    return {"command": [], "env": {}, **given, "type": "exec"}


def found_text(item: Body) -> str:
    """What a model is told of tools that a search has found: it can call them from now on."""
    found = [cast(Body, one["function"]) for one in functions({"input": [item]})]
    return orjson.dumps([{k: one[k] for k in _TOLD if k in one} for one in found]).decode()


_TOLD = ("name", "description")


def _grammar(tool: Body) -> str:
    """What the text that a tool takes must be like, as far as the tool says."""
    definition = member(tool, "format", "definition")
    if not isinstance(definition, str):
        return "The whole input of the tool, as text."
    syntax = member(tool, "format", "syntax") or "this grammar"
    return f"The whole input of the tool, as text that follows {syntax}:\n{definition}"


def _add(tools: dict[str, Body], tool: Mapping[str, Any], name: str) -> None:
    function: Body = {"name": name, "parameters": tool.get("parameters") or {}}
    if tool.get("description"):
        function["description"] = tool["description"]
    if isinstance(tool.get("strict"), bool):
        function["strict"] = tool["strict"]
    tools[name] = {"type": "function", "function": function}


def choose_tool(body: Body, chat: Body, names: set[str]) -> None:
    """Tell which tools are to be called.

    Raises:
        UsageError: that can't be told.
    """
    choice: Any = body.get("tool_choice")
    kind = choice if isinstance(choice, str) else member(choice, "type")
    match kind:
        case "none" | "auto" if names:
            chat["tool_choice"] = kind
        case "required" if names:
            chat["tool_choice"] = kind
        case "function" | "custom":
            name = member(choice, "name")
            if name not in names:
                raise UsageError(f"tool_choice names {name!r}, which is none of the tools")
            chat["tool_choice"] = {"type": "function", "function": {"name": name}}
        case "allowed_tools":
            allowed = {
                member(one, "name") for one in cast(list[Any], member(choice, "tools") or [])
            }
            offered = cast(list[Body], chat.get("tools") or [])
            kept = [tool for tool in offered if tool["function"]["name"] in allowed]
            if not kept:
                raise cannot("none of the allowed tools is one that the client runs")
            chat["tools"] = kept
            chat["tool_choice"] = member(choice, "mode") or "auto"
        case "none" | "auto" | None:
            pass
        case _:
            raise cannot("tool_choice asks for a tool that the client does not run; offer one")
