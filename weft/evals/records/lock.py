"""One writer at a time: the lock of an evaluation's folder."""

from __future__ import annotations

import errno
import os
import platform
import sys


def locked(file: int) -> bool | None:
    """Lock an open file for this process, whose end frees the lock.

    Returns:
        False if the file is locked by another; None if there are no locks at all, as on some
        network file systems.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        return False if e.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK) else None
    return True


def may_run(holder: str) -> bool:
    """Whether the process may still run that wrote its number and its machine's name."""
    pid, _, machine = holder.strip().partition(" ")
    if not pid.isdecimal() or sys.platform == "win32":
        return False
    if machine != platform.node():
        return True
    try:
        os.kill(int(pid), 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def named(holder: str) -> str:
    """The process that wrote its number and its machine's name, in parentheses."""
    pid, _, machine = holder.strip().partition(" ")
    if not pid:
        return ""
    return f" (process {pid}{f' on {machine}' if machine not in ('', platform.node()) else ''})"
