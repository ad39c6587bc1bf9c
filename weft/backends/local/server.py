"""Starts vLLM replicas: run as a file by `weft.backends.local.launch`, never imported by weft.

On a CPU nearly all of a replica's start is importing vLLM, three times over: in the HTTP
server, the engine core and its worker, each a fresh interpreter. So this process imports it
once and forks every replica from itself, and they fork their engine core likewise (with
memory shared until written). On a GPU the replicas are ordinary `spawn`ing servers, since
CUDA does not survive a fork.

The process is the parent of all it starts; they end with it. It ends them when it gets
SIGTERM, and, unless detached, when its standard input closes, which happens however the
launching process dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

GRACE = 5.0
"""Seconds that replicas get to stop by themselves."""

FORKED = (
    "vllm.entrypoints.launchers.api_server.entry",
    "vllm.entrypoints.openai.chat_completion.serving",
    "vllm.v1.engine.async_llm",
    "vllm.v1.engine.core",
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.v1.structured_output.backend_xgrammar",
    "vllm.model_executor.models.llama",
    "vllm.model_executor.models.qwen2",
    "vllm.model_executor.models.qwen3",
    "transformers.models.llama.configuration_llama",
)
"""What replicas on a CPU need; imported once, before forking."""


def hide_torchvision() -> None:
    """Keep transformers from importing torchvision, which may not fit a CPU build of torch."""
    for name in ("torchvision", "torchaudio", "torchcodec"):
        sys.modules[name] = None  # type: ignore[assignment]
    import importlib.util

    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        if name.partition(".")[0] in ("torchvision", "torchaudio", "torchcodec"):
            return None
        return real(name, package)

    importlib.util.find_spec = find_spec


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends (Linux)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def fork_instead_of_spawn() -> None:
    """Make vLLM fork its engine core, and look at models in this process."""
    context = multiprocessing.get_context("fork")
    multiprocessing.get_context = lambda method=None: context  # type: ignore[assignment]
    os.register_at_fork(after_in_child=die_with_parent)
    from vllm.model_executor.models import registry

    # vLLM examines a model's class in yet another interpreter, to keep CUDA out of this one.
    examine = "_run_in_subprocess"
    if hasattr(registry, examine):
        setattr(registry, examine, lambda look: look())  # pyright: ignore


def preload() -> None:
    """Import what every replica needs."""
    import importlib

    for name in FORKED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"not preloaded: {name} ({error})", file=sys.stderr)


def serve(replica: dict[str, Any]) -> None:
    """Become a vLLM server: this process' output goes to the replica's log."""
    log = os.open(replica["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(replica["env"])
    if replica["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, replica["cores"])
        # A session of its own, so a scheduling group of its own (Linux autogroup). One group of
        # replicas pinned to several cores was seen to starve everything else there for seconds,
        # its own clients included (Linux 6.18).
        os.setsid()
    sys.argv = ["vllm", *replica["args"]]
    from vllm.entrypoints.launchers.api_server.entry import main

    main()


class Nursery:
    """The replicas started here, and what has become of them, told in a file of events."""

    def __init__(self, events: str) -> None:
        self.events = Path(events)
        self.pids: dict[int, int] = {}
        self.stopping = False

    def tell(self, event: str, **details: Any) -> None:
        """Append one event."""
        with self.events.open("a") as file:
            file.write(json.dumps({"event": event, "time": time.time(), **details}) + "\n")

    def start(self, index: int, replica: dict[str, Any]) -> None:
        """Fork one replica."""
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                die_with_parent()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                serve(replica)
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        self.pids[pid] = index
        self.tell("started", replica=index, pid=pid)

    def stop(self, *_: Any) -> None:
        """Ask all replicas to stop; `wait` sees them go."""
        if self.stopping:
            return
        self.stopping = True
        for pid in self.pids:
            os.kill(pid, signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    def kill(self, *_: Any) -> None:
        """The end for whatever is left of the replicas, and of this process."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # one on a CPU leads a group
        os.killpg(os.getpgrp(), signal.SIGKILL)

    def wait(self) -> None:
        """Return when all replicas have ended."""
        while self.pids:
            pid, status = os.wait()
            index = self.pids.pop(pid, None)
            if index is not None:
                self.tell("exited", replica=index, code=os.waitstatus_to_exitcode(status))

    def watch_stdin(self) -> None:
        """Stop when the launching process closes our standard input, or dies."""
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Start what the JSON in the first argument says, and stay until it has ended."""
    plan = json.loads(sys.argv[1])
    nursery = Nursery(plan["events"])
    signal.signal(signal.SIGTERM, nursery.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, nursery.kill)
    begun = time.time()
    if plan["device"] == "cpu":
        hide_torchvision()
        preload()
        fork_instead_of_spawn()
    nursery.tell("imported", seconds=time.time() - begun)
    for index, replica in enumerate(plan["replicas"]):
        nursery.start(index, replica)
    if not plan["detached"]:
        threading.Thread(target=nursery.watch_stdin, daemon=True).start()
    nursery.wait()
    if nursery.stopping:
        nursery.kill()


# The GPU build spawns its engine core, which runs this file again under another name.
if __name__ == "__main__":
    main()
