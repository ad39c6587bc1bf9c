"""Programs that a model wrote run in a sandbox, or not at all."""

import pytest

from weft import Pool, Prompt, ScriptedEngine, ToolCall, generate
from weft.backends.scripted.engine import Scripted
from weft.errors import UsageError
from weft.programs.tools import python_tool, shell_tool
from weft.sandbox import SandboxLimits, bubblewrap


def has_sandbox() -> bool:
    try:
        bubblewrap.check_sandbox()
    except UsageError:
        return False
    return True


CALLS = (
    ToolCall("python", {"code": "print(open('data.txt').read(), 6 * 7)"}),
    ToolCall("python", {"code": "import sys; print('odd', file=sys.stderr); sys.exit(3)"}),
    ToolCall("shell", {"command": "echo one; true"}),
    ToolCall("shell", {"command": "sleep 30"}),
)


@pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap")
async def test_what_programs_print_is_what_the_model_reads():
    quick = SandboxLimits(seconds=1.5)
    tools = [python_tool(files={"data.txt": "x"}), shell_tool(limits=quick)]
    async with Pool(ScriptedEngine(Scripted(tools=CALLS))):
        said = await generate(Prompt.user("q"), tools=tools)
        results = await said.act()
    assert [one.text for one in results] == [
        "x 42",
        "stderr:\nodd\nThe exit code is 3.",
        "one",
        "The program was ended: it came to its limit of seconds.",
    ]
    assert not any(one.failed for one in results)


def test_without_a_sandbox_there_is_no_such_tool(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bubblewrap, "_missing", lambda: "there is no bubblewrap; install it")
    for make in (python_tool, shell_tool):
        with pytest.raises(UsageError, match="there is no bubblewrap"):
            make()
