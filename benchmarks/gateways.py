"""The gateways that benchmarks compare: how each is started, and what its processes use."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from load import KEY
from weft.backends.local.ports import free_ports

START = 120.0
"""Seconds that a gateway may take to serve its first request."""
WEFT = f"{Path(sys.executable).with_name('weft')} serve"

Command = Callable[[Sequence[str], int, Path], list[str]]
"""Of the upstreams' addresses, the port to listen on, and a folder for what it needs."""


@dataclass(frozen=True)
class Gateway:
    """How one gateway is started."""

    name: str
    command: Command
    package: str = ""
    """What is installed for it; its folder among the peers' is called the same."""


def weft(words: str = WEFT, name: str = "weft", *, leases: bool = True) -> Gateway:
    """Ours, by the words of its command line."""

    def command(urls: Sequence[str], port: int, folder: Path) -> list[str]:
        asked = urls if leases else [f"{url}?leases=false" for url in urls]
        engines = [word for url in asked for word in ("--engine", url)]
        return [*shlex.split(words), *engines, "--port", str(port)]

    return Gateway(name, command)


def router(peers: Path, policy: str, extra: Sequence[str] = (), name: str = "") -> Gateway:
    """vllm-router under one of its policies."""

    def command(urls: Sequence[str], port: int, folder: Path) -> list[str]:
        start = [str(peers / "vllm-router/bin/vllm-router")]
        return [*start, *listen(port), "--worker-urls", *urls, "--policy", policy, *extra]

    return Gateway(name or f"vllm-router {policy}", command, "vllm-router")


def program_mode(peers: Path, kv_tokens: int) -> Gateway:
    """vllm-router's scheduling of programs, told of the KV of each upstream."""
    config = {
        "program_scheduling_enable_key": "auto",
        "global_queue": True,
        "token_capacity_per_target": kv_tokens,
    }
    extra = [
        "--enable-program-scheduling",
        "--program-scheduling-config-json",
        json.dumps(config, separators=(",", ":")),
    ]
    return router(peers, "consistent_hash", extra, "vllm-router programs")


def smg(peers: Path, policy: str = "cache_aware") -> Gateway:
    """The Shepherd model gateway."""

    def command(urls: Sequence[str], port: int, folder: Path) -> list[str]:
        start = [str(peers / "smg/bin/smg"), "launch"]
        rest = ["--policy", policy, "--disable-tokenizer-autoload"]
        return [*start, *listen(port), "--worker-urls", *urls, *rest]

    return Gateway(f"SMG {policy}", command, "smg")


def sglang(peers: Path, policy: str = "cache_aware") -> Gateway:
    """SGLang's router."""

    def command(urls: Sequence[str], port: int, folder: Path) -> list[str]:
        start = [str(peers / "sglang-router/bin/python"), "-m", "sglang_router.launch_router"]
        return [*start, *listen(port), "--worker-urls", *urls, "--policy", policy]

    return Gateway(f"sglang-router {policy}", command, "sglang-router")


def litellm(peers: Path, model: str) -> Gateway:
    """LiteLLM's proxy."""

    def command(urls: Sequence[str], port: int, folder: Path) -> list[str]:
        models = [
            {
                "model_name": model,
                "litellm_params": {
                    "model": f"openai/{model}",
                    "api_base": f"{url}/v1",
                    "api_key": "none",
                },
            }
            for url in urls
        ]
        config = folder / "litellm.yaml"  # JSON is YAML
        config.write_text(
            json.dumps({"model_list": models, "general_settings": {"master_key": KEY}})
        )
        start = [str(peers / "litellm/bin/litellm"), "--config", str(config)]
        return [*start, "--host", "127.0.0.1", "--port", str(port)]

    return Gateway("LiteLLM", command, "litellm")


NGINX = """\
daemon off; pid {folder}/pid; error_log {folder}/errors; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 64m; client_body_buffer_size 64m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  upstream engines {{ {servers} keepalive 256; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 3600s;
    }}
  }}
}}
"""


def nginx() -> Gateway | None:
    """nginx in its round robin, where it is installed."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        return None

    def command(urls: Sequence[str], port: int, folder: Path) -> list[str]:
        servers = " ".join(f"server {urlsplit(url).netloc};" for url in urls)
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, servers=servers, port=port))
        return [program, "-e", str(folder / "errors"), "-c", str(config)]

    return Gateway("nginx round robin", command)


def listen(port: int) -> list[str]:
    """Where the routers that descend from SGLang's listen."""
    (metrics,) = free_ports(1)
    at = ["--host", "127.0.0.1", "--port", str(port)]
    return [*at, "--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics)]


def installed(gateways: Sequence[Gateway], peers: Path) -> tuple[list[Gateway], list[str]]:
    """Those that can be started, and the names of the others."""
    found = [g for g in gateways if not g.package or (peers / g.package / "bin").is_dir()]
    return found, [g.name for g in gateways if g not in found]


def versions(gateways: Sequence[Gateway], peers: Path) -> str:
    """The installed packages with their versions, for people."""
    told: list[str] = []
    for package in dict.fromkeys(g.package for g in gateways if g.package):
        ask = f"from importlib.metadata import version; print(version({package!r}))"
        python = str(peers / package / "bin/python")
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True)
        told.append(f"{package} {done.stdout.strip() or 'of unknown version'}")
    return ", ".join(told)


class Running:
    """A gateway that serves; figures are of all its processes."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.port, self.log = name, port, log
        self.url = f"http://127.0.0.1:{port}"
        self._process = process

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self._process.pid

    def _tree(self) -> list[psutil.Process]:
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of user and system time."""
        spent = 0.0
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent += times.user + times.system
        return spent

    def rss(self) -> float:
        """Resident memory, MB."""
        return sum(process.memory_info().rss for process in self._tree()) / 1e6

    def sockets(self) -> tuple[int, int]:
        """Open connections: to clients, and to upstreams."""
        open_ = [c for p in self._tree() for c in p.net_connections("tcp") if c.status != "LISTEN"]
        clients = sum(c.laddr.port == self.port for c in open_)
        return clients, len(open_) - clients

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-800:]

    def alive(self) -> bool:
        """Whether its first process runs."""
        return self._process.poll() is None


@asynccontextmanager
async def running(
    gateway: Gateway, urls: Sequence[str], model: str, core: int | None = None
) -> AsyncIterator[Running]:
    """A gateway in front of some upstreams, for the time of the block."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        log = folder / "log"
        command = gateway.command(urls, port, folder)
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: ASYNC220 - starts nothing that is waited for
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={
                    **os.environ,
                    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                    "WEFT_HOME": str(folder),  # nothing is known from earlier runs
                },
            )
        try:
            up = Running(gateway.name, port, process, log)
            await ready(up, model)
            yield up
        finally:
            await stop(process)


async def ready(up: Running, model: str) -> None:
    """Wait until a gateway has answered a request."""
    body = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "hello"}]}
    begun = time.monotonic()
    status = 0
    while time.monotonic() - begun < START:
        if not up.alive():
            raise SystemExit(f"{up.name} ended at its start:\n{up.last_words()}")
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            status, _ = await asyncio.wait_for(post(up.url, "/v1/chat/completions", body), 60.0)
            if status == 200:
                return
        await asyncio.sleep(0.2)
    raise SystemExit(
        f"{up.name} answered nothing good in {START:.0f} s (status {status}):\n{up.last_words()}"
    )


async def post(url: str, path: str, body: object) -> tuple[int, bytes]:
    """Status and body of one answer, on a connection of its own."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n"
            "connection: close\r\n\r\n"
        )
        writer.write(head.encode() + data)
        answer = await reader.read()
        status = answer[9:12]
        return int(status) if status.isdigit() else 0, answer.partition(b"\r\n\r\n")[2]
    finally:
        writer.close()


def heed_sigterm() -> None:
    """Let SIGTERM cancel this task, so that all that it has started is stopped."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def stop(process: subprocess.Popen[bytes]) -> None:
    """End a gateway and all that it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        for _ in range(50):
            if process.poll() is not None:
                break
            await asyncio.sleep(0.1)
    process.wait()
