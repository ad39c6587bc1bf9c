"""Launching vLLM replicas on this machine.

The replicas of one launch are one process group, led by `server.py`, whose standard
input we hold: when this process ends, in whatever way, it closes, and they all stop.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from weft.backends.http.client import client
from weft.backends.local.flags import base_args, installed, shares
from weft.backends.local.ports import free_ports, ports_from
from weft.errors import EngineUnavailable, UsageError

Progress = Callable[[str], None]

START = 600.0
"""Seconds that a launch may take."""

SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True, slots=True)
class LocalReplica:
    """A replica that runs on this machine: its address, model, process and log."""

    url: str
    model: str
    pid: int
    log: str


@dataclass(frozen=True, slots=True)
class ReplicaGroup:
    """A launch: the leader of its process group, and where it tells what happens."""

    leader: subprocess.Popen[bytes]
    events: Path
    model: str
    urls: tuple[str, ...]
    logs: tuple[str, ...]

    def reported(self, event: str) -> dict[int, dict[str, Any]]:
        """What has been told of each replica under the name of `event`."""
        lines = map(json.loads, self.events.read_text().splitlines())
        return {line.get("replica", -1): line for line in lines if line["event"] == event}

    def replicas(self) -> list[LocalReplica]:
        """The replicas, once they are started."""
        started = self.reported("started")
        return [
            LocalReplica(url, self.model, started[i]["pid"], log)
            for i, (url, log) in enumerate(zip(self.urls, self.logs, strict=True))
        ]


@asynccontextmanager
async def launch(
    model: str | Path,
    replicas: int = 2,
    served_name: str | None = None,
    kv_cache_bytes: int | None = None,
    max_model_len: int | None = None,
    extra_args: Sequence[str] = (),
    on_progress: Progress | None = None,
    port: int | None = None,
) -> AsyncGenerator[list[LocalReplica]]:
    """Start replicas of a model, wait until they answer, and stop them on leaving.

    Args:
        model: a folder, or a name on the Hugging Face hub.
        replicas: how many; on a CPU they share out its cores, on GPUs they take turns.
        served_name: the name they serve it under; the folder's, or the name, by default.
        kv_cache_bytes: size of each replica's KV cache.
        max_model_len: most tokens of prompt and answer; the model's own by default.
        extra_args: further arguments for vLLM.
        on_progress: called with a sentence whenever something has happened.
        port: of the first replica, and the others take those after it; free ones by default.

    Raises:
        UsageError: vLLM is not installed, there is no such model folder, or a port is in use.
        EngineUnavailable: a replica died at its start; names its last words and its log.
    """
    group = start_group(
        model,
        replicas,
        served_name,
        kv_cache_bytes,
        max_model_len,
        extra_args,
        port,
        detached=False,
    )
    try:
        await ready(group, on_progress or (lambda _: None))
        yield group.replicas()
    finally:
        with anyio.CancelScope(shield=True):
            await stop_group(group)


def start_group(
    model: str | Path,
    replicas: int,
    served_name: str | None,
    kv_cache_bytes: int | None,
    max_model_len: int | None,
    extra_args: Sequence[str],
    port: int | None = None,
    *,
    detached: bool,
) -> ReplicaGroup:
    """Start the leader of a launch; `ready` waits for its replicas."""
    if replicas < 1:
        raise UsageError(f"replicas must be at least 1, not {replicas}")
    device = installed()
    path = Path(model).expanduser()
    is_folder = path.is_dir()
    if not is_folder and (path.is_absolute() or str(model).startswith((".", "~"))):
        raise UsageError(f"there is no model folder {path}; give a folder or a hub name")
    source = str(path.resolve()) if is_folder else str(model)
    name = served_name or (path.resolve().name if is_folder else source)
    ports = free_ports(replicas) if port is None else ports_from(port, replicas)
    folder = log_folder(name)
    common = ["--model", source, "--served-model-name", name, *base_args(device, kv_cache_bytes)]
    if max_model_len is not None:
        common += ["--max-model-len", str(max_model_len)]
    urls: list[str] = []
    logs: list[str] = []
    plans: list[dict[str, Any]] = []
    for listens, (cores, env, args) in zip(ports, shares(device, replicas), strict=True):
        log = str(folder / f"replica-{len(logs)}.log")
        urls.append(f"http://127.0.0.1:{listens}")
        logs.append(log)
        listen = ["--host", "127.0.0.1", "--port", str(listens)]
        args = [*common, *listen, *args, *extra_args]
        plans.append({"args": args, "env": env, "cores": cores, "log": log})
    events = folder / "events.jsonl"
    events.touch()
    plan = {"device": device, "detached": detached, "events": str(events), "replicas": plans}
    env = {
        **os.environ,
        # Seconds that a server keeps an idle connection; the client must be the first to close.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "600",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOG_STATS_INTERVAL": "3600",
        # Read when torch is imported, so before the replicas are forked.
        **({"OMP_NUM_THREADS": str(len(plans[0]["cores"]))} if device == "cpu" else {}),
        **({"HF_HUB_OFFLINE": "1"} if is_folder else {}),
    }
    with (folder / "leader.log").open("wb") as log:
        leader = subprocess.Popen(
            # -P: weft's own `vllm.py` and `http.py` lie beside the script.
            [sys.executable, "-P", str(SERVER), json.dumps(plan)],
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )
    return ReplicaGroup(leader, events, name, tuple(urls), tuple(logs))


def home() -> Path:
    """Where weft keeps what is not the user's: `$WEFT_HOME`, or ~/.cache/weft."""
    return Path(os.environ.get("WEFT_HOME") or Path.home() / ".cache" / "weft")


def log_folder(name: str) -> Path:
    """A new folder for the logs of one launch."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    folder = home() / "logs" / f"{stamp}-{safe}-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    folder.mkdir(parents=True)
    return folder


async def ready(group: ReplicaGroup, on_progress: Progress) -> None:
    """Wait until all replicas of a launch answer."""
    begun = time.monotonic()
    waiting = dict(enumerate(group.urls))
    on_progress(f"importing vLLM for {len(waiting)} replicas of {group.model}")
    loading = False
    async with client("http://127.0.0.1", silence=5.0) as http:
        while waiting:
            await anyio.sleep(0.1)
            check_alive(group, begun)
            if not group.reported("started"):
                continue
            if not loading:
                loading = True
                on_progress(f"loading {group.model} ({time.monotonic() - begun:.0f} s)")
            for index, url in list(waiting.items()):
                if await answers(http, url):
                    del waiting[index]
                    done = len(group.urls) - len(waiting)
                    seconds = time.monotonic() - begun
                    on_progress(f"{done} of {len(group.urls)} replicas ready ({seconds:.0f} s)")


async def answers(http: httpx.AsyncClient, url: str) -> bool:
    """Whether a replica serves yet."""
    try:
        return (await http.get(f"{url}/health")).status_code == 200
    except httpx.TransportError:
        return False


def check_alive(group: ReplicaGroup, begun: float) -> None:
    """Raise if a replica, or their leader, has ended, or if it takes too long."""
    for index in group.reported("exited"):
        raise EngineUnavailable(died(Path(group.logs[index])))
    if group.leader.poll() is not None:
        raise EngineUnavailable(died(group.events.with_name("leader.log")))
    if time.monotonic() - begun > START:
        raise EngineUnavailable(
            f"local replicas of {group.model} did not start in {START:.0f} s; see {group.logs[0]}"
        )


def died(log: Path) -> str:
    """What to say of a replica that ended at its start."""
    return f"a local replica died at its start: {last_words(log)}; its log is {log}"


def last_words(log: Path) -> str:
    """The line of a log that best says why the process ended."""
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line.rsplit("] ", 1)[-1].strip() for line in text.splitlines() if line.strip()]
    best = ""
    for index, line in enumerate(lines):
        name = line.partition(":")[0].rpartition(".")[2]
        if not name.endswith(("Error", "Exception")) or "Engine core init" in line:
            continue
        # Pydantic says what is wrong on the line after.
        more = lines[index + 1 : index + 2] if "validation error" in line else []
        best = " ".join([line, *more])
    return (best or (lines or ["it said nothing"])[-1])[:400]


async def stop_group(group: ReplicaGroup) -> None:
    """Stop a launch: politely, and after some seconds by force."""
    if group.leader.stdin is not None:
        group.leader.stdin.close()
    with anyio.move_on_after(8.0):
        await anyio.to_thread.run_sync(group.leader.wait, abandon_on_cancel=True)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group.leader.pid, signal.SIGKILL)
    await anyio.to_thread.run_sync(group.leader.wait)
