"""Local replicas that stay up between commands: `weft engines up`, `down` and `ls`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio

from weft.backends.local.launch import LocalReplica, Progress, home, ready, start_group, stop_group
from weft.errors import UsageError


@dataclass(frozen=True, slots=True)
class Standing:
    """A replica that stays up.

    Attributes:
        url: its address.
        model: the name that it serves.
        source: the folder or hub name of that model.
        pid: its process.
        log: its log.
        leader: the leader of its launch's process group.
        since: when the leader was started, as the system tells it.
    """

    url: str
    model: str
    source: str
    pid: int
    log: str
    leader: int
    since: str

    def alive(self) -> bool:
        """Whether it runs, and its leader is the process that was started then."""
        return birth(self.leader) == self.since and birth(self.pid) is not None


async def up(
    model: str | Path,
    replicas: int = 2,
    served_name: str | None = None,
    kv_cache_bytes: int | None = None,
    max_model_len: int | None = None,
    extra_args: Sequence[str] = (),
    on_progress: Progress | None = None,
    port: int | None = None,
) -> list[Standing]:
    """Start replicas that outlive this process; the arguments are those of `launch`.

    If they don't get ready, or waiting for them is cancelled, none stays.
    """
    group = start_group(
        model, replicas, served_name, kv_cache_bytes, max_model_len, extra_args, port, detached=True
    )
    try:
        await ready(group, on_progress or (lambda _: None))
    except BaseException:
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                os.kill(group.leader.pid, signal.SIGTERM)
            await stop_group(group)
        raise
    since = birth(group.leader.pid) or ""
    source = source_of(model)

    def entry(one: LocalReplica) -> Standing:
        return Standing(one.url, one.model, source, one.pid, one.log, group.leader.pid, since)

    new = [entry(one) for one in group.replicas()]
    write([*ls(), *new])
    return new


def ls() -> list[Standing]:
    """The replicas that are up; those that have died are forgotten."""
    try:
        known = [Standing(**one) for one in json.loads(state().read_text())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise UsageError(f"{state()} is damaged; delete it, and stop old engines") from error
    alive = [one for one in known if one.alive()]
    if alive != known:
        write(alive)
    return alive


async def down(which: str | None = None) -> list[Standing]:
    """Stop replicas, by model, source or address, or all; gives those that were stopped.

    The replicas of one launch stop together.
    """
    known = ls()
    named = [one for one in known if which in (None, one.model, one.source, one.url)]
    if which is not None and not named:
        there = ", ".join(sorted({one.model for one in known})) or "none"
        raise UsageError(f"no local engine {which!r} is up; up are: {there}")
    leaders = {one.leader: one.since for one in named}
    for leader in leaders:
        with suppress(ProcessLookupError):
            os.kill(leader, signal.SIGTERM)
    await anyio.to_thread.run_sync(await_end, leaders)
    write([one for one in known if one.leader not in leaders])
    return [one for one in known if one.leader in leaders]


def await_end(leaders: dict[int, str], patience: float = 8.0) -> None:
    """Wait until process groups have ended, and after some seconds end them by force."""
    until = time.monotonic() + patience
    left = dict(leaders)
    while left and time.monotonic() < until:
        time.sleep(0.05)
        left = {leader: since for leader, since in left.items() if birth(leader) == since}
    for leader in left:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)


def source_of(model: str | Path) -> str:
    """How a model is written in the state: a folder's full path, or a hub name."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.is_dir() else str(model)


def state() -> Path:
    """The file that says what is up."""
    return home() / "engines.json"


def write(entries: list[Standing]) -> None:
    """Replace the state, at once."""
    state().parent.mkdir(parents=True, exist_ok=True)
    new = state().with_suffix(f".{os.getpid()}.{time.monotonic_ns()}")
    new.write_text(json.dumps([asdict(one) for one in entries], indent=1))
    new.replace(state())


def birth(pid: int) -> str | None:
    """When a process was started, in the system's words; None if it does not run.

    With the pid it names a process for good; pids alone are used again.
    """
    with suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)  # one of our own that has ended would stay a zombie
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] == "Z" else fields[19]
    told = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or None
