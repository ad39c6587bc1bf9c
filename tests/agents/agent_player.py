"""Plays the model for coding agents that are to change a file: one right call after the other."""

from __future__ import annotations

import re
from pathlib import Path

from weft.backends.scripted.requests import ScriptRequest
from weft.backends.scripted.script import Scripted, ToolCall
from weft.types import Request

OLD, NEW = 'print("Hi")', 'print("Hello")'
DONE = "It says Hello now."
ERRAND = "Run an errand:"
"""What the prompt of a sub-agent begins with."""
SUMMARY = "A summary of the work so far, in the words of the model that has done all of it."
"""What a summary begins with. The task follows: nothing else is known after it."""
PICTURE = "picture.png"
MUCH = 30_000
"""Characters that a command prints which is to print much."""

_SUMMARIES = (  # asked for by Codex, by the service for it, Claude Code, opencode and Qwen Code
    "CONTEXT CHECKPOINT COMPACTION",
    "replaced by your summary",
    "summary of the conversation",
    "Here is the conversation so far",
    "produce the <state_snapshot>",
)
_TASK = re.compile(r"Change the file (\S+)/greet\.py so")

EDIT = f"""Here is the change.

greet.py
```python
{OLD}
{NEW}
```
"""


def task(file: Path, first: str = "") -> str:
    """What the agent is asked to do.

    Args:
        file: to change.
        first: what is to be done before: "Send 2 sub-agents.", "Look at the picture." or
            "Print much.".
    """
    return f"{first} Change the file {file} so that it prints Hello instead of Hi.".strip()


def play(request: Request) -> Scripted:
    """The next answer: the first call that has no result yet, or the end."""
    assert isinstance(request, ScriptRequest)
    said = "\n".join(m.content for m in request.messages)
    last = next(m.content for m in reversed(request.messages) if m.role == "user")
    tools = set(request.http.tools)
    found = _TASK.search(said)
    if found and any(words in last for words in _SUMMARIES):
        told = f"{SUMMARY} {task(Path(found[1], 'greet.py'))}"
        tags = [tag for tag in ("summary", "state_snapshot") if f"<{tag}>" in last]
        return Scripted(f"<{tags[0]}>{told}</{tags[0]}>" if tags else told)
    if "addition" in tools:
        return adding(request)
    if not tools:
        return Scripted(EDIT if "SEARCH/REPLACE" in said else "Greeting")
    if ERRAND in said and "sub-agents." not in said:
        return Scripted("The errand is run.", seconds=0.02)
    if found is None:
        return Scripted("Greeting")
    turns = [[call] for call in calls(tools, f"{found[1]}/greet.py")]
    if SUMMARY not in said:
        turns = [*asides(tools, said, found[1]), *turns]
    results = sum(m.role == "tool" for m in request.messages)
    for turn in turns:
        if results <= 0:
            return Scripted("Now this.", tools=turn)
        results -= len(turn)
    return Scripted(DONE)


def asides(tools: set[str], said: str, folder: str) -> list[list[ToolCall]]:
    """The turns of what is to be done first."""
    if wanted := re.search(r"Send (\d) sub-agents\.", said):
        return sent(tools, said, int(wanted[1]))
    if "Look at the picture." in said and "Read" in tools:
        return [[ToolCall("Read", {"file_path": f"{folder}/{PICTURE}"})]]
    if "Print much." in said:
        much = f"head -c {MUCH} /dev/zero | tr '\\0' x"
        return [[shell(tools, f"echo {turn}; {much}")] for turn in range(3)]
    return []


def shell(tools: set[str], command: str) -> ToolCall:
    """A command in the shell of Codex, which has several for several models."""
    if "exec_command" in tools:
        return ToolCall("exec_command", {"cmd": command})
    if "shell_command" in tools:
        return ToolCall("shell_command", {"command": command})
    return ToolCall("shell", {"command": ["bash", "-lc", command]})


def calls(tools: set[str], path: str) -> list[ToolCall]:
    """The calls that change the file, with the tools of this client."""
    command = f"sed -i 's/Hi/Hello/' {path} && cat {path}"
    if "run_shell_command" in tools:  # Qwen Code
        return [ToolCall("run_shell_command", {"command": command, "is_background": False})]
    if "run_commands" in tools:  # Cline
        return [ToolCall("run_commands", {"commands": [command]})]
    if "terminal" in tools:  # OpenHands
        return [ToolCall("terminal", {"command": command})]
    if "Edit" in tools:  # Claude Code
        change = {"file_path": path, "old_string": OLD, "new_string": NEW}
        return [ToolCall("Read", {"file_path": path}), ToolCall("Edit", change)]
    if "edit" in tools:  # opencode
        change = {"filePath": path, "oldString": OLD, "newString": NEW}
        return [ToolCall("read", {"filePath": path}), ToolCall("edit", change)]
    if tools & {"exec_command", "shell_command", "shell"}:  # Codex
        return [shell(tools, command)]
    if "bash" in tools:  # mini-swe-agent
        end = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
        return [ToolCall("bash", {"command": command}), ToolCall("bash", {"command": end})]
    raise AssertionError(f"no tool to change a file is among {sorted(tools)}")


def sent(tools: set[str], said: str, count: int) -> list[list[ToolCall]]:
    """The turns that send sub-agents, all at once, and wait for them."""
    prompts = [f"{ERRAND} say that number {number} is run." for number in range(count)]
    more = {"description": "an errand"}
    if "task" in tools:  # opencode
        more["subagent_type"] = "general"
        return [[ToolCall("task", {"prompt": prompt, **more}) for prompt in prompts]]
    if "Agent" in tools:  # Claude Code
        more["subagent_type"] = "general-purpose"
        return [[ToolCall("Agent", {"prompt": prompt, **more}) for prompt in prompts]]
    spawn, wait = "multi_agent_v1__spawn_agent", "multi_agent_v1__wait_agent"
    if spawn in tools:  # Codex
        agents = re.findall(r'"agent_id":\s*"([^"]+)"', said)
        spawned = [ToolCall(spawn, {"message": prompt}) for prompt in prompts]
        waits = [[ToolCall(wait, {"targets": [agent]})] for agent in agents]
        return [spawned, *(waits or [[ToolCall(wait, {"targets": []})]])]
    raise AssertionError(f"no tool to send a sub-agent is among {sorted(tools)}")


def adding(request: ScriptRequest) -> Scripted:
    """Adds by the tool."""
    last = request.messages[-1]
    if last.role == "tool":
        return Scripted(f"The sum is {last.content}.")
    return Scripted("", tools=[ToolCall("addition", {"x": 19, "y": 23})])
