"""A real replica is killed in the midst of an evaluation: no sample is lost."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from weft import Pool
from weft.backends.engine import OnDelta
from weft.backends.local.flags import AT_ONCE
from weft.backends.local.launch import LocalReplica
from weft.backends.vllm import VLLMEngine
from weft.errors import EngineUnavailable
from weft.evals.records import Folder, Row, Settings
from weft.evals.results import read
from weft.evals.running.runner import Plan, evaluate
from weft.evals.tasks.puzzles.countdown_task import CountdownTask
from weft.search import parse_strategy
from weft.types import Delta, Request

SAMPLES = 60


class Victim(VLLMEngine):
    """Once told to, dies in the midst of an answer: one that is long, so it had not ended."""

    pid = 0
    dying = False
    died = ""

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        take: OnDelta = on_delta
        if self.dying:
            self.dying = False
            sampling = replace(request.sampling, max_tokens=None, ignore_eos=True)
            request = replace(request, sampling=sampling)

            def fall(delta: Delta) -> None:
                os.kill(self.pid, signal.SIGKILL)
                on_delta(delta)

            take = fall
        try:
            await super().complete(request, take)
        except EngineUnavailable as error:  # what else runs there dies too, or finds nobody
            self.died = str(error)
            raise


class Watches:
    """Watches an evaluation, and has an engine die when some samples are done."""

    def __init__(self, samples: int, victim: Victim) -> None:
        self.left, self.victim = samples, victim

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None: ...

    def row(self, row: Row) -> None:
        self.left -= 1
        if self.left == 0:
            self.victim.dying = True

    def end(self, strategy: str) -> None: ...

    def tick(self, alive: int, engines: int) -> None: ...


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.loops("asyncio")
async def test_an_evaluation_survives_the_death_of_a_replica(
    victim: LocalReplica, replicas: list[str], tmp_path: Path
) -> None:
    task = CountdownTask()
    engine = Victim(victim.url, concurrency=AT_ONCE)
    engine.pid = victim.pid
    async with Pool(engine, VLLMEngine(replicas[0], concurrency=AT_ONCE)) as pool:
        settings = Settings("countdown", "", "countdown", 0)
        plan = Plan(task, [parse_strategy("majority(n=8)")], task.samples(SAMPLES, 0), settings)
        folder = Folder(tmp_path / "out", create=True)
        session = folder.open(settings)
        await evaluate(plan, pool, folder, session, Watches(5, engine))
        assert [r.alive for r in pool.scheduler.replicas] == [False, True]
        assert victim.url in engine.died
        assert not await engine.healthy()
        with pytest.raises(EngineUnavailable, match=victim.url):
            await engine.tokenize("a")
    [result] = read(folder).results
    assert result.n == SAMPLES
    assert all(row.error is None for row in folder.rows())
    assert sum(row.usage.cancelled for row in folder.rows()) > 0
