"""Real vLLM: two replicas of the shipped model, for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from weft.backends.local.launch import LocalReplica, launch
from weft.backends.specs import shipped_model

KV_BYTES = 128 * 2**20


@pytest.fixture(scope="session")
def countdown() -> Path:
    """The folder of the shipped model."""
    folder = shipped_model("countdown")
    assert folder is not None
    return folder


@pytest.fixture(scope="session")
def local_replicas(
    countdown: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[LocalReplica]]:
    with (
        pytest.MonkeyPatch.context() as patch,
        start_blocking_portal() as portal,
    ):
        patch.setenv("WEFT_HOME", str(tmp_path_factory.mktemp("weft")))
        launching = launch(countdown, replicas=2, kv_cache_bytes=KV_BYTES, on_progress=print)
        with portal.wrap_async_context_manager(launching) as replicas:
            yield replicas


@pytest.fixture(scope="session")
def replicas(local_replicas: list[LocalReplica]) -> list[str]:
    """Addresses of two replicas that serve `countdown`."""
    return [one.url for one in local_replicas]
