"""Real vLLM: replicas of the shipped model, for the whole session."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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


Launched = Callable[..., AbstractContextManager[list[LocalReplica]]]


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """Replicas of a model, outside of any test's event loop; options as of `launch`."""

    @contextmanager
    def start(model: Path, **options: Any) -> Iterator[list[LocalReplica]]:
        with pytest.MonkeyPatch.context() as patch, start_blocking_portal() as portal:
            patch.setenv("WEFT_HOME", str(tmp_path_factory.mktemp("weft")))
            if options["replicas"] == 1 and hasattr(os, "sched_setaffinity"):
                # Other tests run beside it: threads on cores that are not free wait long for
                # each other.
                portal.call(os.sched_setaffinity, 0, {min(os.sched_getaffinity(0))})
            launching = launch(model, on_progress=print, **options)
            with portal.wrap_async_context_manager(launching) as replicas:
                yield replicas

    return start


@pytest.fixture(scope="session")
def replicas(countdown: Path, launched: Launched) -> Iterator[list[str]]:
    """Addresses of two replicas that serve `countdown`."""
    options = {"replicas": 2, "kv_cache_bytes": KV_BYTES}
    with launched(countdown, **options) as replicas:
        yield [one.url for one in replicas]


@pytest.fixture(scope="session")
def small_replica(countdown: Path, launched: Launched) -> Iterator[str]:
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
    with launched(countdown, replicas=1, extra_args=args) as (replica,):
        yield replica.url
