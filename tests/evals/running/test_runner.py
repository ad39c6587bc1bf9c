from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import anyio
import pytest

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import EngineError, StoreError, UsageError
from weft.evals.records import Folder, Row, Session, Settings
from weft.evals.results import Evaluation, read
from weft.evals.running.runner import Plan, evaluate
from weft.evals.suites.failures import most_errors
from weft.evals.tasks.puzzles.countdown_player import Player
from weft.evals.tasks.puzzles.countdown_task import CountdownTask
from weft.orchestrator.pool import Pool
from weft.programs import Limits
from weft.search import parse_strategy
from weft.types import Request


class Notes:
    """A watcher that notes all."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.kept: dict[str, int] = {}
        self.ended: list[str] = []

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None:
        self.kept[strategy] = kept

    def row(self, row: Row) -> None:
        self.rows.append(row)

    def end(self, strategy: str) -> None:
        self.ended.append(strategy)

    def tick(self, alive: int, engines: int) -> None:
        pass


def plan(*specs: str, limit: int = 6, limits: Limits | None = None, seed: int = 0) -> Plan:
    task = CountdownTask()
    settings = Settings("countdown", "", "scripted", seed)
    strategies = [parse_strategy(s) for s in specs]
    return Plan(task, strategies, task.samples(limit, seed), settings, limits)


def engine(skill: float = 0.7, **options: Any) -> ScriptedEngine:
    player = Player(skill)
    return ScriptedEngine(player.reply, player.scores, **options)


async def go(
    what: Plan, on: ScriptedEngine, folder: Folder, notes: Notes | None = None
) -> Evaluation:
    session = folder.open(what.settings)
    async with Pool(on, outage=0.1) as pool:
        await evaluate(what, pool, folder, session, notes or Notes())
    return read(folder)


async def test_every_strategy_answers_every_sample(tmp_path: Path) -> None:
    what = plan("greedy", "majority(n=4)", "best_of_n(n=4)", "astar(k=3)", "first_finish(n=2)")
    folder = Folder(tmp_path / "out", create=True)
    evaluation = await go(what, engine(), folder)
    assert [r.strategy for r in evaluation.results] == [s.spec for s in what.strategies]
    for result in evaluation.results:
        assert {r.id for r in result.rows} == {s.id for s in what.samples}
        assert result.usage.calls >= 6
        assert result.usage.completion > 0
    run = json.loads((folder.path / "run.json").read_text())
    assert set(run) >= {"task", "model", "engines", "results"}
    assert set(run["results"][0]) == {
        "strategy", "n", "samples", "errors", "refused", "abstained", "accuracy",
        "credit", "stderr", "interval", "calls",
        "tokens",
        "seconds",
        "seconds_per_sample_p50", "seconds_per_sample_p95",
    }  # fmt: skip
    tokens = run["results"][0]["tokens"]
    assert set(tokens) == {"prompt", "cached", "completion", "cancelled", "reasoning"}
    assert read(folder).json() == run
    lines = (folder.path / "samples.jsonl").read_text().splitlines()
    assert len(lines) == 30
    row = json.loads(lines[0])
    assert set(row) == {
        "strategy", "id", "correct", "answer", "score", "details", "usage", "seconds", "error",
        "cluster", "credit", "text", "repeat", "drawn", "right", "vote", "question", "target",
        "texts", "chosen", "at", "tries", "before",
    }  # fmt: skip
    assert "|" in row["text"]


async def test_rows_know_their_clusters_also_those_from_before(tmp_path: Path) -> None:
    folder, what = Folder(tmp_path / "out", create=True), plan("greedy")
    await go(what, engine(), folder)
    named = replace(what, samples=[replace(s, cluster="c") for s in what.samples])
    evaluation = await go(named, engine(), folder)
    assert {r.group for r in evaluation.results[0].rows} == {"cluster c"}
    assert {r.cluster for r in folder.rows()} == {"c"}


async def test_repeats_have_other_chance_and_go_on(tmp_path: Path) -> None:
    folder, what = Folder(tmp_path / "out", create=True), plan("majority(n=2)", limit=4)
    once = await go(what, engine(0.5), folder)
    again = await go(replace(what, repeats=3), engine(0.5), folder)
    (result,) = again.results
    assert [(r.key, r.group) for r in result.rows] == sorted(
        ((s.id, i), f"sample {s.id}") for s in what.samples for i in range(3)
    )
    assert once.results[0].rows == tuple(r for r in result.rows if r.repeat == 0)
    assert (result.count, result.problems) == ("12", 4)
    seen = {(r.id, r.repeat): r.answer for r in result.rows}
    assert any(seen[s.id, 0] != seen[s.id, 1] for s in what.samples)
    idle = engine()
    assert (await go(replace(what, repeats=3), idle, folder)).results == again.results
    assert idle.requests == []


async def test_right_ones_are_counted_among_all_that_were_drawn(tmp_path: Path) -> None:
    what = plan("best_of_n(n=5, verifier=function)", "majority(n=4)", "astar(k=2)", limit=8)
    folder = Folder(tmp_path / "out", create=True)
    best, vote, search = (await go(what, engine(0.6), folder)).results
    assert {r.drawn for r in best.rows} == {5}
    # The exact check finds a right one wherever there is one.
    assert [r.right > 0 for r in best.rows] == [r.correct for r in best.rows]
    assert 0 < sum(r.right for r in best.rows) < 40
    # A vote that was settled early has drawn fewer, and searches draw no whole texts.
    assert all(r.drawn == 4 or (r.drawn, r.right) == (0, 0) for r in vote.rows)
    assert not any(r.drawn for r in search.rows)


async def test_a_perfect_player_is_right(tmp_path: Path) -> None:
    evaluation = await go(plan("greedy"), engine(1.0), Folder(tmp_path / "out", create=True))
    assert evaluation.results[0].accuracy == 1.0


async def test_a_rerun_asks_nothing_and_a_larger_limit_only_the_rest(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out", create=True)
    first = await go(plan("greedy"), engine(), folder)
    idle, notes = engine(), Notes()
    again = await go(plan("greedy"), idle, folder, notes)
    assert idle.requests == []
    assert notes.rows == []
    assert notes.kept == {"greedy": 6}
    assert again.results == first.results
    more = engine()
    evaluation = await go(plan("greedy", limit=10), more, folder)
    assert len(more.requests) == 4
    assert evaluation.results[0].n == 10


async def test_other_strategies_in_the_folder_stay(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out", create=True)
    await go(plan("greedy"), engine(), folder)
    evaluation = await go(plan("majority(n=2)"), engine(), folder)
    assert [r.strategy for r in evaluation.results] == ["greedy", "majority(n=2)"]


async def test_a_cut_off_line_is_run_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out", create=True)
    await go(plan("greedy"), engine(), folder)
    path = folder.path / "samples.jsonl"
    path.write_text(path.read_text()[:-30])
    again = engine()
    evaluation = await go(plan("greedy"), again, folder)
    assert len(again.requests) == 1
    assert evaluation.results[0].n == 6


async def test_a_broken_line_in_the_midst_is_an_error(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out", create=True)
    await go(plan("greedy"), engine(), folder)
    path = folder.path / "samples.jsonl"
    path.write_text("{\n" + path.read_text())
    with pytest.raises(StoreError, match=r"samples.jsonl:1: not a row"):
        folder.rows()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "was made with seed 0, not 1"),
        ({"model": "other"}, "was made with model 'scripted', not 'other'"),
        ({"budget": {"tokens": 9}}, "was made with budget none, not {'tokens': 9}"),
        ({"data": "abc"}, "was made with task's data 'old', not 'abc'"),
        ({"task": "jsonl(path='q.jsonl')"}, "was made with task 'countdown', not 'jsonl'"),
        ({"server": ["http://b:1"]}, "give another --out, or --moved if it is the same server"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = Folder(tmp_path, create=True)
    settings = Settings("countdown", "old", "scripted", 0)
    folder.save(settings, Session())
    with pytest.raises(StoreError) as error:
        folder.open(replace(settings, **change))
    assert message in str(error.value)


async def test_a_sample_that_is_refused_counts_as_wrong_and_is_tried_again(tmp_path: Path) -> None:
    what = plan("greedy", limit=12)
    bad = what.samples[3].id
    player = Player()

    def refusing(request: Request) -> str | Scripted:
        if request.messages[0].content == f"solve {bad}":
            return Scripted(refuses="I'd rather not.")
        return player.reply(request)

    folder = Folder(tmp_path / "out", create=True)
    evaluation = await go(what, ScriptedEngine(refusing), folder)
    result = evaluation.results[0]
    assert (result.n, result.errors, result.refused) == (12, 0, 1), "it counts as wrong"
    row = next(r for r in folder.rows() if r.id == bad)
    assert row.correct is False
    assert row.error is not None
    assert "rather not" in row.error
    well = engine()
    evaluation = await go(what, well, folder)
    assert len(well.requests) == 1
    assert (evaluation.results[0].n, evaluation.errors) == (12, 0)


async def test_when_the_engine_dies_what_finished_is_kept(tmp_path: Path) -> None:
    what = replace(plan("greedy", limit=20), concurrency=2)
    mortal = engine()
    seen = 0

    class Killer(Notes):
        def row(self, row: Row) -> None:
            nonlocal seen
            seen += 1
            if seen == 8:
                mortal.kill()

    folder = Folder(tmp_path / "out", create=True)
    with pytest.raises(EngineError) as error:
        await go(what, mortal, folder, Killer())
    assert "the same command goes on" in str(error.value)
    done = [r for r in folder.rows() if r.error is None]
    assert 8 <= len(done) < 20
    assert json.loads((folder.path / "run.json").read_text())["results"][0]["n"] == len(done)
    alive = engine()
    evaluation = await go(what, alive, folder)
    assert len(alive.requests) == 20 - len(done)
    assert evaluation.results[0].n == 20


async def test_what_is_wrong_for_every_sample_stops_at_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out", create=True)
    what = plan("best_of_n(n=2, verifier=role:judge)")
    with pytest.raises(UsageError, match="judge"):
        await go(what, engine(), folder)
    assert folder.rows() == []


async def test_budgets_hold_for_each_sample(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out", create=True)
    what = plan("majority(n=8)", limits=Limits(calls=3))
    evaluation = await go(what, engine(), folder)
    result = evaluation.results[0]
    assert result.n == 6
    assert all(r.usage.calls <= 3 for r in result.rows)
    assert all(r.details["budget"] == "calls" for r in result.rows)


async def test_interruption_keeps_rows_and_results(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out", create=True)
    what = replace(plan("greedy", limit=20), concurrency=2)
    with anyio.CancelScope() as scope:

        class Stopper(Notes):
            def row(self, row: Row) -> None:
                self.rows.append(row)
                if len(self.rows) == 5:
                    scope.cancel()

        await go(what, engine(), folder, Stopper())
    assert scope.cancelled_caught
    evaluation = read(folder)
    assert 5 <= evaluation.results[0].n <= 7
    assert json.loads((folder.path / "run.json").read_text()) == evaluation.json()


async def test_a_row_is_let_go_once_it_is_on_disk(tmp_path: Path) -> None:
    what = replace(plan("greedy", limit=40), concurrency=2, repeats=2)
    told, alive = 0, list[int]()

    class Counting(Notes):
        def row(self, row: Row) -> None:
            nonlocal told
            told += 1
            if told in (41, 80):
                gc.collect()
                alive.append(sum(isinstance(one, Row) for one in gc.get_objects()))

    await go(what, engine(), Folder(tmp_path / "out", create=True), Counting())
    assert told == 80
    assert alive[1] <= alive[0] + 2


async def test_samples_draw_different_chance(tmp_path: Path) -> None:
    on = engine()
    await go(plan("majority(n=2)", "best_of_n(n=2)"), on, Folder(tmp_path / "out", create=True))
    seeds = [r.sampling.seed for r in on.requests if not r.ask]
    assert None not in seeds
    assert len(set(seeds)) == len(seeds)


def refusing(*ids: str) -> ScriptedEngine:
    """An engine that never takes some samples."""
    player, never = Player(), {f"solve {id}" for id in ids}

    def reply(request: Request) -> str | Scripted:
        if request.messages[0].content in never:
            return Scripted(refuses="maximum context length is 9 tokens")
        return player.reply(request)

    return ScriptedEngine(reply)


async def test_samples_that_never_work_are_no_outage(tmp_path: Path) -> None:
    what = plan("greedy", "majority(n=2)", limit=10)
    bad = [s.id for s in what.samples[:5]]
    folder = Folder(tmp_path / "out", create=True)
    evaluation = await go(what, refusing(*bad), folder)
    for result in evaluation.results:
        assert (result.n, result.refused, result.errors, result.count) == (10, 5, 0, "10")
        assert result.correct == sum(bool(r.correct) for r in result.rows) <= 5


async def test_a_strategy_that_fails_lets_the_next_one_start(tmp_path: Path) -> None:
    what = plan("greedy", "majority(n=2)", limit=6)
    folder = Folder(tmp_path / "out", create=True)
    with pytest.raises(EngineError) as error:
        await go(what, refusing(*(s.id for s in what.samples)), folder)
    assert "greedy: 6 samples were refused" in str(error.value)
    assert "majority(n=2): 6 samples were refused" in str(error.value)
    assert [r.n for r in read(folder).results] == [6, 6]


@pytest.mark.parametrize(
    ("bound", "samples", "most"),
    [("10%", 10, 3), ("10%", 100, 10), ("0%", 100, 3), ("0", 9, 0), ("7", 9, 7), ("all", 9, inf)],
)
def test_how_many_errors_end_a_strategy(bound: str, samples: int, most: float) -> None:
    assert most_errors(bound, samples) == most


@pytest.mark.parametrize("bound", ["", "x", "-1", "1.5", "101%", "%", "²"])
def test_bounds_that_are_none(bound: str) -> None:
    with pytest.raises(UsageError, match="must be a number, a share such as 10%, or all"):
        most_errors(bound, 10)


async def test_the_bound_on_errors_is_kept(tmp_path: Path) -> None:
    what = replace(plan("greedy", limit=20), max_errors="0", concurrency=1)
    mortal = engine()

    class Killer(Notes):
        def row(self, row: Row) -> None:
            mortal.kill()

    folder = Folder(tmp_path / "out", create=True)
    with pytest.raises(EngineError):
        await go(what, mortal, folder, Killer())
    assert len(folder.rows()) == 2
    assert read(folder).results[0].count == "1 of 20"


def test_of_two_writers_the_second_is_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out", create=True)
    code = (
        "import sys; from pathlib import Path; from weft.evals.records import Folder\n"
        "from weft.errors import StoreError\n"
        "try:\n"
        "    with Folder(Path(sys.argv[1])).writing(): print('in')\n"
        "except StoreError as e: print(e)"
    )

    def other() -> str:
        words = [sys.executable, "-c", code, str(folder.path)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    folder.save(Settings("countdown", "", "scripted", 0), Session())
    with folder.writing():
        said = other()
        assert f"another evaluation (process {os.getpid()}) writes into" in said
        assert "give another --out" in said
    assert other() == "in\n"


def test_of_two_writers_the_second_is_told_where_files_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    folder = Folder(tmp_path / "out", create=True)
    folder.save(Settings("countdown", "", "scripted", 0), Session())
    code = (
        "import sys; from pathlib import Path; from weft.evals.records import Folder\n"
        "with Folder(Path(sys.argv[1])).writing(): print('in', flush=True); sys.stdin.read()\n"
    )
    words, pipe = [sys.executable, "-c", code, str(folder.path)], subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == "in\n"
            with pytest.raises(StoreError, match=rf"process {first.pid}\).*remove .lock"):
                folder.writing().__enter__()
        finally:
            first.kill()
    with folder.writing(), pytest.raises(StoreError, match="another evaluation"):
        folder.writing().__enter__()
    lock = folder.path / ".lock"
    lock.write_text("17 elsewhere")
    with pytest.raises(StoreError, match="process 17 on elsewhere"):
        folder.writing().__enter__()
    lock.unlink()
    lock.mkdir()
    with pytest.raises(StoreError, match="can't write into"):
        folder.writing().__enter__()


@pytest.mark.parametrize("spec", ["greedy", "best_of_n(n=2)", "beam(n=4)"])
async def test_a_sample_is_one_program_of_the_strategys_name(spec: str, tmp_path: Path) -> None:
    ended: list[tuple[str, bool]] = []
    pool = Pool(engine(), ended=lambda p, _: ended.append((p.name, p.parent is None)))
    async with pool:
        what, folder = plan(spec, limit=3), Folder(tmp_path / "out", create=True)
        await evaluate(what, pool, folder, folder.open(what.settings), Notes())
    assert ended == [(spec.split("(")[0], True)] * 3


async def test_samples_are_shared_out_over_all_problems(tmp_path: Path) -> None:
    """All problems are asked at once, however few were to be, and the samples are n in the mean."""
    what = replace(plan("pets(n=3, parallel=2)", limit=8), concurrency=2)
    folder = Folder(tmp_path / "out", create=True)
    on = engine(0.4)
    result = (await go(what, on, folder)).results[0]
    drawn = [row.details["samples"] for row in result.rows]
    assert sum(drawn) == len(on.requests) == 24
    assert min(drawn) >= 1
    assert len(set(drawn)) > 1
    assert on.peak <= 2


@pytest.mark.loops("asyncio", "virtual")
async def test_problems_teach_each_other_whatever_the_time(tmp_path: Path, anyio_backend) -> None:
    """Which model is given to a problem does not depend on how long the others take."""
    what = replace(
        plan("bandit(verifier=function, weight=0.2, parallel=3)", limit=12), concurrency=4
    )
    found: list[dict[str, Any]] = []
    for pace in (0.0, 0.0002):
        small = engine(0.2, model="small", token_seconds=pace)
        pool = Pool(engine(0.9, token_seconds=0.0003 - pace), small, roles={"draft": "small"})
        folder = Folder(tmp_path / f"{pace}", create=True)
        async with pool:
            await evaluate(what, pool, folder, folder.open(what.settings), Notes())
        rows = read(folder).results
        found.append({row.id: row.details["arm"] for row in rows[0].rows})
        taught = sorted(row.details["taught_by"] for row in rows[0].rows)
        assert taught == [0, 0, *range(10)]
    assert set(found[0].values()) == {"draft", "solver"}
    if anyio_backend == "asyncio":  # trio begins tasks in an order of its own
        assert found[0] == found[1]
