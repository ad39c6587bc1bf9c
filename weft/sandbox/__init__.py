r"""Sandbox: programs that a model wrote, run where they can't do harm.

    done = await run_python("print(6 * 7)", limits=SandboxLimits(seconds=5))
    assert done.ended == "exit" and done.stdout == "42\n"

A program sees the system's own folders and Python, read-only, and an empty work folder, but no
network, no other process, and no home folder. [bubblewrap](https://github.com/containers/bubblewrap)
builds this view; where bubblewrap can't work, nothing is run.

Called by readers, tasks and tools that run code. To keep a program within other bounds, give other
`SandboxLimits`. Nothing is added here otherwise. Trades away: each program starts an interpreter
of its own, some 20 ms, and the kernel is shared: a sandbox is no virtual machine.
"""

from weft.sandbox.bubblewrap import check_sandbox
from weft.sandbox.result import SandboxLimits, SandboxResult
from weft.sandbox.run import run_command, run_python, run_shell

__all__ = [
    "SandboxLimits",
    "SandboxResult",
    "check_sandbox",
    "run_command",
    "run_python",
    "run_shell",
]
