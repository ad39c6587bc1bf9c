"""How bubblewrap is called: what a program sees, as whom it runs, and limits of the system.

As root, bubblewrap builds the view with root's rights, and the program gets a user id that nobody
has and no rights. Else all happens in a user namespace. Both ways the limit on processes counts
those of this one sandbox.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from itertools import count
from pathlib import Path

from weft.errors import UsageError
from weft.sandbox.result import SandboxLimits

WORK = "/tmp"
"""The work folder, as programs see it."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime")
_SHARED = 16 << 20
"""Bytes of shared memory in /dev/shm."""
_numbers = count(os.getpid() * 61)


def check_sandbox() -> None:
    """See that programs can be run in a sandbox here.

    Raises:
        UsageError: they can't.
    """
    if (reason := _missing()) is not None:
        raise UsageError(reason)


def environment() -> dict[str, str]:
    """The variables that a program sees."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": WORK,
        "TMPDIR": WORK,
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
    }


def command_line(
    command: Sequence[str],
    limits: SandboxLimits,
    files: Sequence[tuple[str, int]],
    folders: Sequence[str] = (),
) -> list[str]:
    """The command that runs a command in a sandbox.

    Args:
        command: what is run, by its path or by a name in `PATH`.
        limits: of the system; those of seconds and output are up to who runs it.
        files: names in the work folder, and the descriptors that their content is read from.
        folders: further empty folders that the program may write into, such as `/app`.
    """
    root = os.geteuid() == 0
    line = ["bwrap", "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-net"]
    line += ["--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox"]
    line += [] if root else ["--unshare-user"]
    line += ["--proc", "/proc", "--dev", "/dev"]
    line += [*_sized(_SHARED), "--perms", "1777", "--tmpfs", "/dev/shm"]
    line += [*_sized(limits.files), "--perms", "0777", "--tmpfs", WORK]
    line += _seen()  # behind the work folder: this Python may be below a folder of that name
    for name, descriptor in files:
        line += ["--perms", "0666", "--file", str(descriptor), f"{WORK}/{name}"]
    for folder in folders:
        line += [*_sized(limits.files), "--perms", "0777", "--tmpfs", folder]
    # Else a program could fill these, for they are in memory too.
    line += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK, "--"]
    if root:
        nobody = str(20_000 + next(_numbers) % 40_000)
        line += ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"]
        line += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    bounds = [f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}", f"--as={limits.memory}"]
    bounds += [f"--fsize={limits.files}", "--core=0", "--nofile=256"]
    if root or _counts_apart():
        bounds.append(f"--nproc={limits.processes}")
    return [*line, "prlimit", *bounds, *command]


@cache
def _seen() -> tuple[str, ...]:
    """The arguments that show a program the system and this Python."""
    line: list[str] = []
    for folder in _SYSTEM:
        if os.path.islink(folder):
            line += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            line += ["--ro-bind", folder, folder]
    line += ["--perms", "0755", "--dir", "/etc"]
    for name in _SETTINGS:
        line += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for prefix in dict.fromkeys((sys.base_prefix, sys.prefix)):
        if not any(Path(prefix).is_relative_to(folder) for folder in _SYSTEM):
            for above in reversed(Path(prefix).parents[:-1]):
                line += ["--perms", "0755", "--dir", str(above)]
            line += ["--ro-bind", prefix, prefix]
    return tuple(line)


def is_system(folder: str) -> bool:
    """Whether a folder is one of those that hold the system, or lies in one."""
    taken = (*_SYSTEM, "/etc", "/proc", "/dev", WORK, sys.base_prefix, sys.prefix)
    return any(
        Path(folder).is_relative_to(one) or Path(one).is_relative_to(folder) for one in taken
    )


def _sized(size: int) -> list[str]:
    """The size of the folder that is mounted next, where bubblewrap can bound it (since 0.7)."""
    return ["--size", str(size)] if "--size" in _help() else []


@cache
def _help() -> str:
    done = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _counts_apart() -> bool:
    """Whether processes of a user namespace are counted apart from the user's others (5.14)."""
    major, _, rest = os.uname().release.partition(".")
    return (int(major), int("".join(c for c in rest.split(".")[0] if c.isdigit()) or 0)) >= (5, 14)


@cache
def _missing() -> str | None:
    """Why no program can be run, as a sentence; None if programs can be."""
    wanted = ["bwrap", "prlimit", *(["setpriv"] if os.geteuid() == 0 else [])]
    lacking = [name for name in wanted if shutil.which(name) is None]
    if sys.platform != "linux" or lacking:
        return (
            "code that a model wrote is run in a sandbox only, which needs Linux with "
            f"{', '.join(wanted)}; install bubblewrap and util-linux"
        )
    done = subprocess.run(
        command_line([sys.executable, "-c", ""], SandboxLimits(), []),
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return None
    said = " ".join(done.stderr.split())[-300:] or f"exit code {done.returncode}"
    return (
        "code that a model wrote is run in a sandbox only, and bubblewrap can't make one here "
        f"({said}); allow user namespaces, or run where they are allowed"
    )
