"""Plays the model for coding agents that are to change a file: one right call after the other."""

from __future__ import annotations

import re

from weft.backends.scripted.requests import ScriptRequest
from weft.backends.scripted.script import Scripted, ToolCall
from weft.types import Request

OLD, NEW = 'print("Hi")', 'print("Hello")'
DONE = "It says Hello now."
ERRAND = "Run an errand:"
"""What the prompt of a sub-agent begins with."""

EDIT = f"""Here is the change.

greet.py
```python
<<<<<<< SEARCH
{OLD}
=======
{NEW}
>>>>>>> REPLACE
```
"""


def task(path: str, errand: bool = False) -> str:
    """What the agent is asked to do; with an errand, a sub-agent is sent first."""
    first = "Send a sub-agent first. " if errand else ""
    return f"{first}Change the file {path} so that it prints Hello instead of Hi."


def play(request: Request) -> Scripted:
    """The next answer: the first call that has no result yet, or the end."""
    assert isinstance(request, ScriptRequest)
    asked = [m.content for m in request.messages if m.role == "user"]
    tools = request.http.tools
    if "addition" in tools:
        return adding(request)
    if not tools:
        edits = any("SEARCH/REPLACE" in m.content for m in request.messages)
        return Scripted(EDIT if edits else "Greeting")
    if any(ERRAND in text for text in asked):
        return Scripted("The errand is run.")
    found = re.search(r"Change the file (\S+/greet\.py)", "\n".join(asked))
    if found is None:
        return Scripted("Greeting")
    moves = calls(set(tools), found[1])
    if any("Send a sub-agent first" in text for text in asked):
        moves = [*sent(set(tools), request), *moves]
    done = sum(m.role == "tool" for m in request.messages)
    return Scripted("Now this.", tools=[moves[done]]) if done < len(moves) else Scripted(DONE)


def calls(tools: set[str], path: str) -> list[ToolCall]:
    """The calls that change the file, with the tools of this client."""
    shell = f"sed -i 's/Hi/Hello/' {path} && cat {path}"
    if "run_shell_command" in tools:  # Qwen Code
        return [ToolCall("run_shell_command", {"command": shell, "is_background": False})]
    if "run_commands" in tools:  # Cline
        return [ToolCall("run_commands", {"commands": [shell]})]
    if "Edit" in tools:  # Claude Code
        change = {"file_path": path, "old_string": OLD, "new_string": NEW}
        return [ToolCall("Read", {"file_path": path}), ToolCall("Edit", change)]
    if "edit" in tools:  # opencode
        change = {"filePath": path, "oldString": OLD, "newString": NEW}
        return [ToolCall("read", {"filePath": path}), ToolCall("edit", change)]
    if "exec_command" in tools:  # Codex
        return [ToolCall("exec_command", {"cmd": shell})]
    if "shell_command" in tools:  # Codex, for other models
        return [ToolCall("shell_command", {"command": shell})]
    if "shell" in tools:  # Codex, for others again
        return [ToolCall("shell", {"command": ["bash", "-lc", shell]})]
    if "bash" in tools:  # mini-swe-agent
        end = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
        return [ToolCall("bash", {"command": shell}), ToolCall("bash", {"command": end})]
    raise AssertionError(f"no tool to change a file is among {sorted(tools)}")


def sent(tools: set[str], request: Request) -> list[ToolCall]:
    """The calls that send a sub-agent and wait for it."""
    prompt = f"{ERRAND} say that it is run."
    if "task" in tools:  # opencode
        more = {"description": "an errand", "subagent_type": "general"}
        return [ToolCall("task", {"prompt": prompt, **more})]
    if "Agent" in tools:  # Claude Code
        more = {"description": "an errand", "subagent_type": "general-purpose"}
        return [ToolCall("Agent", {"prompt": prompt, **more})]
    spawn, wait = "multi_agent_v1__spawn_agent", "multi_agent_v1__wait_agent"
    if spawn in tools:  # Codex
        said = " ".join(m.content for m in request.messages if m.role == "tool")
        agent = re.search(r'"agent_id":\s*"([^"]+)"', said)
        targets = [agent[1]] if agent else []
        return [ToolCall(spawn, {"message": prompt}), ToolCall(wait, {"targets": targets})]
    raise AssertionError(f"no tool to send a sub-agent is among {sorted(tools)}")


def adding(request: ScriptRequest) -> Scripted:
    """Adds by the tool."""
    last = request.messages[-1]
    if last.role == "tool":
        return Scripted(f"The sum is {last.content}.")
    return Scripted("", tools=[ToolCall("addition", {"x": 19, "y": 23})])
