"""Tuning an engine: every setting is started, failures are rows, others' problems decide."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.cli.evals.progress import Lines
from weft.errors import EngineUnavailable, StoreError, UsageError
from weft.evals.running.runner import EvaluationWatcher
from weft.evals.studies.choosing import Choice
from weft.evals.studies.engine_profiles import EngineFound, EngineTuning, run_problems, tune_engine
from weft.evals.studies.engine_trials import EngineTrial, read_trials
from weft.evals.studies.launching import AS_IT_IS, SPACE, arguments, command
from weft.evals.suites.suite import Suite
from weft.evals.tasks.puzzles.countdown_player import Player

SPACE_HERE = {"ngram": (AS_IT_IS, 2, 4), "kv_cache_dtype": (AS_IT_IS, "fp8")}
SUITE = Suite(task="countdown", strategies=["greedy"], seed=3)


def test_settings_are_arguments_of_a_command() -> None:
    given = {name: values[0] for name, values in SPACE.items()}
    assert arguments(given) == []
    assert command("m", given) == "weft engines up m --replicas 1"
    choice = given | {"chunked_prefill": False, "block_size": 16, "ngram": 2, "replicas": 2}
    assert arguments(choice) == [
        "--no-enable-chunked-prefill",
        "--block-size=16",
        '--speculative-config={"method":"ngram","num_speculative_tokens":2,"prompt_lookup_max":4}',
    ]
    assert command("m", {"replicas": 2, "block_size": 16}).endswith(
        "--replicas 2 --vllm-arg=--block-size=16"
    )


class Launching:
    """Starts scripted engines: fp8 does not start, and the quickest answers wrongly."""

    def __init__(self) -> None:
        self.started: list[Choice] = []
        self.seconds: dict[str, float] = {}

    def __call__(self, choice: Choice):
        return self._open(choice)

    @asynccontextmanager
    async def _open(self, choice: Choice) -> AsyncGenerator[list[str]]:
        self.started.append(dict(choice))
        if choice["kv_cache_dtype"] == "fp8":
            raise EngineUnavailable("a local replica died at its start: no fp8")
        replies = Player(1.0).reply if choice["ngram"] != 4 else "no idea"
        with running(ScriptedEngine(replies, model="countdown")) as url:
            self.seconds[url] = {AS_IT_IS: 4.0, 2: 1.0, 4: 0.5}[choice["ngram"]]
            yield [url]

    async def run(self, suite: Suite, ids: Sequence[str], watcher: EvaluationWatcher):
        """Real answers, in seconds that don't depend on this machine."""
        rows, seconds = await run_problems(suite, ids, watcher)
        assert seconds > 0
        assert suite.engine is not None
        return rows, self.seconds[suite.engine[0]] * len(ids)


def tuning(out: Path, launcher: Callable, said: list[str] | None = None) -> EngineTuning:
    say = said.append if said is not None else lambda _: None
    run = launcher.run if isinstance(launcher, Launching) else None
    return EngineTuning(SUITE, out, launcher, 6, Lines(lambda _: None), say, run)


@pytest.mark.loops("asyncio")  # servers of their own, in threads
@pytest.mark.parametrize("by", ["halving", "greedy"])
async def test_the_quickest_that_works_and_answers_as_well_is_found(
    by: str, tmp_path: Path
) -> None:
    launcher, said = Launching(), list[str]()
    tuned = tuning(tmp_path / "o", launcher, said)
    found = await tune_engine(tuned, SPACE_HERE, trials=6, by=by)
    assert found.best.settings == {"ngram": 2, "kv_cache_dtype": AS_IT_IS}
    assert (found.best.rate, found.given.rate) == (1.0, 0.25)
    assert found.given.settings == {"ngram": AS_IT_IS, "kv_cache_dtype": AS_IT_IS}
    assert {one.part for one in found.decided} == {"held out"}
    failed = [one for one in found.trials if one.error]
    assert failed
    assert all("no fp8" in one.error and one.rate == 0 for one in failed)
    assert any("no fp8" in one for one in said)
    # The quickest of all answers nothing rightly.
    wrong = [one for one in found.trials if one.settings["ngram"] == 4 and not one.error]
    assert wrong
    assert not any(any(one.right) for one in wrong)
    assert read_trials(tmp_path / "o" / "trials.jsonl") == found.trials

    starts = len(launcher.started)
    again = await tune_engine(tuning(tmp_path / "o", launcher), SPACE_HERE, trials=6, by=by)
    assert len(launcher.started) == starts  # nothing is measured twice
    assert isinstance(again, EngineFound)
    assert again.best == found.best
    with pytest.raises(StoreError, match="of another workload"):
        EngineTuning(SUITE, tmp_path / "o", launcher, 7, Lines(lambda _: None))


@pytest.mark.loops("asyncio")
async def test_where_nothing_starts_that_is_said(tmp_path: Path) -> None:
    def dead(choice: Choice):
        raise EngineUnavailable("no memory")

    with pytest.raises(UsageError, match="no settings work; as it was: no memory"):
        await tune_engine(tuning(tmp_path, dead), SPACE_HERE, trials=2, by="random")
    assert all(one.seconds == math.inf for one in read_trials(tmp_path / "trials.jsonl"))
    (tmp_path / "trials.jsonl").write_text("{}\n")
    with pytest.raises(StoreError, match=r"trials\.jsonl:1 is no measurement"):
        tuning(tmp_path, dead)
    with pytest.raises(UsageError, match="at least 4"):
        EngineTuning(SUITE, tmp_path / "x", dead, 3, Lines(lambda _: None))
    assert EngineTrial({}, "search", 4, error="x").rate == 0
