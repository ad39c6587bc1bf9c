"""How much memory a process and all that it started have."""

from __future__ import annotations

import os

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def memory_of(process: int) -> int:
    """Bytes of memory that a process and its descendants have for themselves.

    Processes that have ended by now count nothing.
    """
    total, waiting = 0, [process]
    while waiting:
        one = waiting.pop()
        try:
            with open(f"/proc/{one}/statm") as file:
                _, resident, shared, *_ = map(int, file.read().split())
            total += (resident - shared) * _PAGE
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children") as file:
                    waiting += map(int, file.read().split())
        except (OSError, ValueError):
            continue
    return total
