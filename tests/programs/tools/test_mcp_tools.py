"""Tools of a real MCP server, spoken to by stdin and stdout."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from weft import Pool, Prompt, ScriptedEngine, ToolCall, generate, image
from weft.backends.scripted.engine import Scripted
from weft.errors import ConfigError, MissingExtra, UsageError
from weft.programs.tools import mcp_tools

there = pytest.mark.skipif(find_spec("mcp") is None, reason="pip install 'weft[mcp]'")

SERVER = '''
from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("numbers", log_level="CRITICAL")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def tell() -> str:
    """Tell."""
    return "told"


@server.tool()
def fail() -> str:
    raise ValueError("no such thing")


@server.tool()
def look() -> Image:
    """Look."""
    return Image(data=b"\\x89PNG\\r\\n\\x1a\\n", format="png")


server.run("stdio")
'''
CALLS = (
    ToolCall("my_add", {"a": 1, "b": 2}),
    ToolCall("my_tell", {}),
    ToolCall("my_fail", {}),
    ToolCall("my_add", {"a": "x"}),
    ToolCall("my_look", {}),
)


@there
async def test_a_servers_tools_are_called_and_its_errors_are_results(tmp_path: Path):
    (tmp_path / "server.py").write_text(SERVER)
    command = [sys.executable, str(tmp_path / "server.py")]
    env = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    async with mcp_tools(command, prefix="my_", env=env, timeout=60) as tools:
        assert [one.name for one in tools] == ["my_add", "my_tell", "my_fail", "my_look"]
        assert tools[0].description == "Add two numbers."
        assert set(tools[0].schema["properties"]) == {"a", "b"}
        async with Pool(ScriptedEngine(Scripted(tools=CALLS))):
            said = await generate(Prompt.user("q"), tools=tools)
            add, tell, *failed, look = await said.act()
    assert (add.value, tell.value) == (3, "told")
    assert look.text == "[the image is shown below]"
    assert look.media == (image(b"\x89PNG\r\n\x1a\n"),)
    assert all(one.failed for one in failed)
    assert "fail" in failed[0].text
    with pytest.raises(UsageError, match="has no tool 'sing', but add, tell, fail, look"):
        async with mcp_tools(command, only=["sing"], env=env):
            pass


@there
async def test_a_server_that_can_not_be_started():
    with pytest.raises(ConfigError, match="can't be reached: FileNotFoundError"):
        async with mcp_tools(["/no/such/server"]):
            pass


@pytest.mark.skipif(find_spec("mcp") is not None, reason="mcp is installed")
async def test_the_package_is_an_extra():
    with pytest.raises(MissingExtra, match=r"pip install 'weft\[mcp\]'"):
        async with mcp_tools("http://127.0.0.1:1/mcp"):
            pass
