"""What a program in a sandbox may use, and what became of the program."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import Literal

from weft.errors import UsageError

Ended = Literal["exit", "seconds", "cpu", "memory", "output"]
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What a program may use.

    Attributes:
        seconds: on the wall clock, from the program's start.
        cpu: seconds of CPU, of each process; a second more than `seconds` if None.
        memory: bytes of address space of each process, and of memory of all together.
        output: bytes of stdout, and as many of stderr; a program that writes more is ended.
            Inspect has the same limit, 10 MiB.
        processes: processes and threads at the same time.
        files: bytes of all files in the work folder.
    """

    seconds: float = 10.0
    cpu: int | None = None
    memory: int = 1024 * MIB
    output: int = 10 * MIB
    processes: int = 32
    files: int = 64 * MIB

    def __post_init__(self) -> None:
        for name in ("seconds", "cpu", "memory", "output", "processes", "files"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise UsageError(f"{name}={value} of a sandbox must be a number above 0")

    @property
    def cpu_seconds(self) -> int:
        """The whole seconds of CPU."""
        return ceil(self.seconds) + 1 if self.cpu is None else self.cpu


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """What became of a program.

    Attributes:
        ended: `exit` if the program came to its own end, else the limit that ended the program:
            `seconds`, `cpu`, `memory` or `output`.
        code: the exit code; 128 and the signal's number if a signal ended the program; None if a
            limit did.
        stdout: what the program printed, up to the limit; bytes that are no UTF-8 are replaced.
        stderr: the same of its errors.
        seconds: how long the program ran.
    """

    ended: Ended
    code: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def success(self) -> bool:
        """Whether the program came to its end with the exit code 0."""
        return self.ended == "exit" and self.code == 0
