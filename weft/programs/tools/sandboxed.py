"""Tools that run what a model wrote, Python or shell, in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping

from weft.programs.tools.marking import Tool, tool, tools_of
from weft.sandbox import SandboxLimits, SandboxResult, check_sandbox, run_python, run_shell


def python_tool(
    *,
    limits: SandboxLimits | None = None,
    files: Mapping[str, str | bytes] | None = None,
    limit: int | None = None,
) -> Tool:
    """A tool `python` that runs a program in a sandbox; each call has a work folder of its own.

    Args:
        limits: what a program may use.
        files: content of files by their names in the work folder.
        limit: how many programs run side by side.

    Raises:
        UsageError: there is no sandbox here. Nothing is ever run outside of one.
    """
    check_sandbox()
    limits = limits or SandboxLimits()

    @tool(limit=limit, expects=limits.seconds)
    async def python(code: str) -> str:
        """Run a Python program, and see what it prints.

        Each program begins anew, in an empty folder, without a network.

        Args:
            code: the program; print what you want to see.
        """
        return _shown(await run_python(code, files=files, limits=limits))

    return tools_of([python])["python"]


def shell_tool(
    *,
    limits: SandboxLimits | None = None,
    files: Mapping[str, str | bytes] | None = None,
    limit: int | None = None,
) -> Tool:
    """A tool `shell` that runs a command of `sh` in a sandbox; else as `python_tool`.

    Args:
        limits: what a command may use.
        files: content of files by their names in the work folder.
        limit: how many commands run side by side.

    Raises:
        UsageError: there is no sandbox here.
    """
    check_sandbox()
    limits = limits or SandboxLimits()

    @tool(limit=limit, expects=limits.seconds)
    async def shell(command: str) -> str:
        """Run a command of the shell `sh`, and see what it prints.

        Each command begins in a folder of its own, without a network. What it writes is gone
        afterwards.

        Args:
            command: such as `ls -l | wc -l`.
        """
        return _shown(await run_shell(command, files=files, limits=limits))

    return tools_of([shell])["shell"]


def _shown(result: SandboxResult) -> str:
    """What a model reads of a program that ran."""
    parts = [result.stdout.rstrip("\n")]
    if result.stderr.strip():
        parts.append(f"stderr:\n{result.stderr.strip()}")
    if result.ended != "exit":
        parts.append(f"The program was ended: it came to its limit of {result.ended}.")
    elif result.code:
        parts.append(f"The exit code is {result.code}.")
    return "\n".join(filter(None, parts)) or "The program printed nothing."
