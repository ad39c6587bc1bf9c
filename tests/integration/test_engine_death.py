"""A real replica is killed in the midst of an evaluation: no sample is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from weft import Pool
from weft.backends.local.flags import AT_ONCE
from weft.backends.local.launch import launch
from weft.backends.vllm import VLLMEngine
from weft.evals.records import Folder, Row, Settings
from weft.evals.results import Result
from weft.evals.runner import Plan, evaluate
from weft.evals.tasks.countdown_task import CountdownTask
from weft.search import parse_strategy

SAMPLES = 60


class KillsAfter:
    """Watches an evaluation, and kills a process when some samples are done."""

    def __init__(self, samples: int, pid: int) -> None:
        self.left, self.pid = samples, pid

    def begin(self, strategy: str, total: int, kept: Sequence[Row]) -> None: ...

    def row(self, row: Row) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(self.pid, signal.SIGKILL)

    def end(self, result: Result) -> None: ...

    def tick(self, alive: int, engines: int) -> None: ...


@pytest.mark.integration
@pytest.mark.timeout(300)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_evaluation_survives_the_death_of_a_replica(
    countdown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "home"))
    task = CountdownTask()
    async with launch(countdown, replicas=2) as (victim, survivor):
        engines = [VLLMEngine(one.url, concurrency=AT_ONCE) for one in (victim, survivor)]
        async with Pool(*engines) as pool:
            settings = Settings("countdown", "", "countdown", 0)
            plan = Plan(task, [parse_strategy("majority(n=8)")], task.samples(SAMPLES, 0), settings)
            folder = Folder(tmp_path / "out", create=True)
            session = folder.open(settings)
            watcher = KillsAfter(5, victim.pid)
            done = await evaluate(plan, pool, folder, session, watcher)
            assert watcher.left < 0
            assert [r.alive for r in pool.scheduler.replicas] == [False, True]
    [result] = done.results
    assert result.n == SAMPLES
    assert all(row.error is None for row in folder.rows())
    assert sum(row.usage.cancelled for row in folder.rows()) > 0
