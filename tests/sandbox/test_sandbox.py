"""Programs in a sandbox: what they see, what ends them, and that nothing of them is left."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import anyio
import pytest

from waiting import until
from weft.errors import UsageError
from weft.sandbox import (
    SandboxLimits,
    SandboxResult,
    bubblewrap,
    check_sandbox,
    run_command,
    run_python,
    run_shell,
)

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _needs_a_sandbox() -> None:
    try:
        check_sandbox()
    except UsageError as e:
        pytest.skip(str(e))


async def test_a_program_reads_and_prints() -> None:
    done = await run_python("import sys; print(input() * 2); sys.exit(3)", stdin="ab\n")
    assert (done.ended, done.code, done.stdout, done.stderr) == ("exit", 3, "abab\n", "")
    assert not done.success
    assert (await run_shell("printf '\\377ok' >&2")).stderr == "\ufffdok"


async def test_files_are_laid_into_the_work_folder() -> None:
    files = {"helper.py": "x = 1", "deep/down.bin": b"\xff"}
    code = "import helper; print(helper.x, open('deep/down.bin', 'rb').read())"
    done = await run_python(code, files=files)
    assert done.stdout == "1 b'\\xff'\n", done.stderr
    for name in ("../up", "/etc/passwd", ""):
        with pytest.raises(UsageError, match="no file in a sandbox's work folder"):
            await run_shell("true", files={name: ""})


async def test_a_program_sees_no_network_no_home_and_no_other_process() -> None:
    secret = Path(__file__)
    done = await run_python(
        f"""
import glob, os, socket
found = []
try:
    socket.create_connection(("127.0.0.1", 22), 1)
    found.append("network")
except OSError:
    pass
found += [p for p in ({str(secret)!r}, "/etc/shadow") if os.access(p, os.R_OK)]
found += [p for p in ("/", "/usr", "/dev", "/etc") if os.access(p, os.W_OK)]
found += [p for p in glob.glob("/proc/[0-9]*") if int(p[6:]) not in (1, os.getpid())]
found += [name for name in os.environ if "KEY" in name or "TOKEN" in name]
print(found, os.getcwd(), os.getuid() != 0)
open("kept", "w").write("x")
"""
    )
    assert done.stdout == "[] /tmp True\n", done.stderr
    assert not (await run_shell("test -e kept")).success, "each program has a folder of its own"


ENDLESS: list[tuple[str, SandboxLimits, str]] = [
    ("while True: pass", SandboxLimits(seconds=0.2), "seconds"),
    (
        "import os, resource as r\n"
        "if r.getrlimit(r.RLIMIT_CPU) == (7, 8): os.kill(os.getpid(), 24)",  # as the kernel does
        SandboxLimits(cpu=7),
        "cpu",
    ),
    ("x = 'a' * 10**10", SandboxLimits(), "memory"),
    ("while True: print('y' * 1000)", SandboxLimits(output=100_000), "output"),
]


@pytest.mark.parametrize(("code", "limits", "ended"), ENDLESS)
async def test_what_ends_a_program(code: str, limits: SandboxLimits, ended: str) -> None:
    done = await run_python(code, limits=limits)
    assert (done.ended, done.code, done.success) == (ended, None, False)
    assert len(done.stdout) <= limits.output


async def test_memory_is_that_of_all_processes_together() -> None:
    code = """
import os, time
os.fork(); os.fork()
kept = bytearray(80 << 20)
for at in range(0, len(kept), 4096):
    kept[at] = 1
time.sleep(60)
"""
    done = await run_python(code, limits=SandboxLimits(seconds=60, memory=200 * MIB))
    assert done.ended == "memory"


async def test_processes_and_files_are_bounded() -> None:
    code = "import os\nn = 0\ntry:\n  while os.fork(): n += 1\nexcept OSError: print(n)\n"
    done = await run_python(code, limits=SandboxLimits(processes=10))
    assert "\n" in done.stdout
    assert max(map(int, done.stdout.split())) < 10
    done = await run_shell(
        "dd if=/dev/zero of=a bs=1M count=9; dd if=/dev/zero of=b bs=1M count=9; "
        "test $(du -m a b | awk '{s += $1} END {print s}') -le 11 && echo bounded",
        limits=SandboxLimits(files=10 * MIB),
    )
    assert done.stdout == "bounded\n", done.stderr


async def test_a_program_that_is_cancelled_leaves_nothing_behind() -> None:
    mark = f"{os.getpid()}.7"
    open_before = len(os.listdir("/proc/self/fd"))
    running: list[SandboxResult] = []

    async def sleep() -> None:
        running.append(await run_shell(f"sleep {mark} & sleep {mark}"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep)
        await until(lambda: mark in _processes())
        tasks.cancel_scope.cancel()
    await until(lambda: mark not in _processes())
    assert not running
    assert len(os.listdir("/proc/self/fd")) == open_before


async def test_what_a_program_leaves_running_ends_with_the_program() -> None:
    mark = f"{os.getpid()}.8"
    done = await run_shell(f"sleep {mark} & echo done")
    assert (done.stdout, done.success) == ("done\n", True)
    await until(lambda: mark not in _processes())


def _processes() -> str:
    return subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True).stdout


async def test_a_command_that_is_not_there_is_no_result() -> None:
    with pytest.raises(UsageError, match=r"the sandbox could not begin: .*nowhere"):
        await run_command(["nowhere"])


async def test_many_programs_share_the_cpus() -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(run_shell, "true")
    with pytest.raises(UsageError, match=r"seconds=0 of a sandbox must be a number above 0"):
        SandboxLimits(seconds=0)


def test_without_bubblewrap_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    bubblewrap._missing.cache_clear()
    try:
        with pytest.raises(UsageError, match="install bubblewrap"):
            anyio.run(run_python, "print(1)")
    finally:
        bubblewrap._missing.cache_clear()
