"""Real vLLM: replicas of the shipped model, for the whole session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from weft.backends.local.launch import LocalReplica, free_ports, launch
from weft.backends.local.shipped import shipped_model

KV_BYTES = 128 * 2**20


@pytest.fixture(scope="session")
def countdown() -> Path:
    """The folder of the shipped model."""
    folder = shipped_model("countdown")
    assert folder is not None
    return folder


@contextmanager
def launched(
    model: Path, folders: pytest.TempPathFactory, **options: Any
) -> Iterator[list[LocalReplica]]:
    """Replicas, outside of any test's event loop."""
    with (
        pytest.MonkeyPatch.context() as patch,
        start_blocking_portal() as portal,
    ):
        patch.setenv("WEFT_HOME", str(folders.mktemp("weft")))
        launching = launch(model, on_progress=print, **options)
        with portal.wrap_async_context_manager(launching) as replicas:
            yield replicas


@pytest.fixture(scope="session")
def replicas(countdown: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Addresses of two replicas that serve `countdown`."""
    options = {"replicas": 2, "kv_cache_bytes": KV_BYTES}
    with launched(countdown, tmp_path_factory, **options) as replicas:
        yield [one.url for one in replicas]


@pytest.fixture(scope="session")
def small_replica(countdown: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a replica whose cache holds 64 blocks of 32 tokens, and tells of them."""
    events, replay = free_ports(2)
    config = {
        "enable_kv_cache_events": True,
        "endpoint": f"tcp://*:{events}",
        "replay_endpoint": f"tcp://*:{replay}",
        "topic": "kv",
    }
    args = ["--num-gpu-blocks-override", "65"]  # one is vLLM's null block
    args += ["--prefix-caching-hash-algo", "sha256_cbor"]
    args += ["--kv-events-config", json.dumps(config)]
    with launched(countdown, tmp_path_factory, replicas=1, extra_args=args) as (replica,):
        yield replica.url
