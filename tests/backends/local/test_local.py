"""What launching consists of, as far as it needs no vLLM; see tests/integration for the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.backends.local import flags, standing
from weft.backends.local import launch as local
from weft.backends.local.standing import Standing
from weft.errors import UsageError


@pytest.fixture(autouse=True)
def weft_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    code = "import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        yield process
        process.kill()


def entry(pid: int, since: str, url: str = "http://h:1", model: str = "m") -> Standing:
    return Standing(url, model, f"/models/{model}", pid, "log", pid, since)


def test_the_dead_and_the_replaced_are_forgotten(sleeper: subprocess.Popen[bytes]) -> None:
    since = standing.birth(sleeper.pid)
    assert since is not None
    alive = entry(sleeper.pid, since)
    standing.write([alive, entry(sleeper.pid, "long ago"), entry(2**22 + 1, since)])
    assert standing.ls() == [alive]
    assert len(json.loads(standing.state().read_text())) == 1
    sleeper.kill()
    sleeper.wait()
    assert standing.ls() == []


async def test_down(sleeper: subprocess.Popen[bytes]) -> None:
    since = standing.birth(sleeper.pid)
    assert since is not None
    standing.write([entry(sleeper.pid, since)])
    with pytest.raises(UsageError, match="no local engine 'other' is up; up are: m"):
        await standing.down("other")
    (stopped,) = await standing.down("m")
    assert stopped.pid == sleeper.pid
    assert standing.birth(sleeper.pid) is None
    assert standing.ls() == []
    assert await standing.down() == []


def test_a_damaged_state(weft_home: Path) -> None:
    (weft_home / "engines.json").write_text("[{]")
    with pytest.raises(UsageError, match=r"engines\.json is damaged"):
        standing.ls()


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4, 5}, raising=False)
    cores = {n: [share[0] for share in flags.shares("cpu", n)] for n in (1, 2, 3, 5)}
    assert cores == {
        1: [[0, 1, 4, 5]],
        2: [[0, 1], [4, 5]],
        3: [[0], [1], [4]],
        5: [[0], [1], [4], [5], [0]],
    }


def test_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,7")
    shares = list(flags.shares("gpu", 3))
    assert [env["CUDA_VISIBLE_DEVICES"] for _, env, _ in shares] == ["3", "7", "3"]
    assert [args[1] for _, _, args in shares] == ["0.450", "0.900", "0.450"]


LOG = """
INFO 11-20 [api_utils.py:1] starting
(EngineCore pid=1) ERROR 11-20 [core.py:9] Traceback (most recent call last):
(EngineCore pid=1) ERROR 11-20 [core.py:9] ValueError: No available memory for the cache blocks.
  File "x.py", line 3
RuntimeError: Engine core initialization failed. See root cause above.
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (LOG, "ValueError: No available memory for the cache blocks."),
        (
            "a.ValidationError: 1 validation error for M\n  Value error, too long [type=x]\n",
            "a.ValidationError: 1 validation error for M Value error, too long [type=x]",
        ),
        ("killed\n\n", "killed"),
        ("", "it said nothing"),
    ],
)
def test_last_words(tmp_path: Path, log: str, said: str) -> None:
    file = tmp_path / "log"
    file.write_text(log)
    assert local.last_words(file) == said
