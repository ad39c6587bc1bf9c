"""Tools: functions that a model may call, and how what it called is run.

Called by users' programs and by `calls.generate`. To add a tool of another kind than `mcp_servers`
and `sandboxed` have, make a `Tool` of an async function. Trades away: arguments are checked
against the signature once, when the answer is read, so a tool can't see what the model wrote.
"""

from typing import TYPE_CHECKING, Any

from weft.programs.tools.marking import Tool, tool

if TYPE_CHECKING:
    from weft.programs.tools.mcp_servers import mcp_tools
    from weft.programs.tools.sandboxed import python_tool, shell_tool

__all__ = ["Tool", "mcp_tools", "python_tool", "shell_tool", "tool"]


def __getattr__(name: str) -> Any:
    # Programs without such tools load neither sandbox nor protocol.
    if name == "mcp_tools":
        from weft.programs.tools.mcp_servers import mcp_tools

        return mcp_tools
    if name in ("python_tool", "shell_tool"):
        from weft.programs.tools import sandboxed

        return getattr(sandboxed, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
