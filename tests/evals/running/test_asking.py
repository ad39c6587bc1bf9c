"""How a sample is asked and judged: tried again, counted as wrong, compared beside the loop."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import EngineError
from weft.evals.records import Folder, Row, Settings
from weft.evals.results import Evaluation, read
from weft.evals.running.runner import Plan, evaluate
from weft.evals.suites.suite import Suite
from weft.evals.tasks.registry import parse_task
from weft.orchestrator.pool import Pool
from weft.search import parse_strategy
from weft.search.readers import Reader, reader


class Silent:
    """A watcher that notes nothing."""

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None:
        pass

    def row(self, row: Row) -> None:
        pass

    def end(self, strategy: str) -> None:
        pass

    def tick(self, alive: int, engines: int) -> None:
        pass


def plan(path: Path, spec: str, *questions: str, more: str = "") -> Plan:
    lines = [json.dumps({"question": q, "answer": "four", "id": q}) for q in questions]
    (path / "p.jsonl").write_text("\n".join(lines))
    task = parse_task(f"jsonl(path={path}/p.jsonl{more})")
    settings = Settings(task.spec, task.fingerprint, "scripted", 0)
    return Plan(task, [parse_strategy(spec)], task.samples(None, 0), settings, concurrency=1)


async def go(what: Plan, engine: ScriptedEngine, folder: Folder) -> Evaluation:
    async with Pool(engine, outage=0.1) as pool:
        await evaluate(what, pool, folder, folder.open(what.settings), Silent())
    return read(folder)


@reader("moody")
class Moody(Reader):
    """Words; raises an error the first few times."""

    errors: ClassVar[list[int]] = [0]

    def read(self, text: str) -> str | None:
        """The last word."""
        if self.errors[0] > 0:
            self.errors[0] -= 1
            raise RuntimeError("out of order")
        return text.split()[-1]

    def read_alone(self, text: str) -> str | None:
        """The text."""
        return text


@reader("slow_words")
class SlowWords(Reader):
    """Words, whose comparing is remembered, and says in which thread it was done."""

    slow = True
    known: ClassVar[dict[frozenset[str], bool]] = {}
    threads: ClassVar[list[int]] = []

    def read(self, text: str) -> str | None:
        """The last word."""
        return text.split()[-1]

    def same(self, a: str, b: str) -> bool:
        """Whether both are four."""
        pair = frozenset((a, b))
        if pair not in self.known:
            self.threads.append(threading.get_ident())
            self.known[pair] = pair == {"iv", "four"}
        return self.known[pair]


async def test_slow_comparisons_are_made_in_a_thread_before_a_vote_needs_them(
    tmp_path: Path,
) -> None:
    SlowWords.known.clear()
    SlowWords.threads.clear()
    texts = iter(["so five", "so iv", "so four", "so six"])
    engine = ScriptedEngine(lambda request: next(texts))
    what = plan(tmp_path, "majority(n=4, stop_early=false)", "a", more=", reader=slow_words")
    folder = Folder(tmp_path / "out", create=True)
    (result,) = (await go(what, engine, folder)).results
    assert result.rows[0].correct
    (row,) = folder.whole_rows()
    assert row.details["votes"][row.answer] == 2
    assert len(SlowWords.threads) == 6, "each pair once"
    assert threading.get_ident() not in SlowWords.threads


@pytest.mark.parametrize(("retries", "first"), [(0, (0, None)), (1, (1, True)), (2, (1, True))])
async def test_a_sample_that_fails_is_tried_again_at_once(
    tmp_path: Path, retries: int, first: tuple[int, bool | None]
) -> None:
    Moody.errors[0] = 1
    engine = ScriptedEngine(lambda request: "four")
    what = plan(tmp_path, "greedy", "a", "b", "c", more=", reader=moody")
    folder = Folder(tmp_path / "out", create=True)
    await go(replace(what, retries=retries, max_errors="all"), engine, folder)
    tries = [(r.tries, r.correct) for r in folder.rows()]
    assert sorted(tries, key=str) == sorted([first, (0, True), (0, True)], key=str)


async def test_errors_count_as_wrong_if_the_suite_says_so_until_they_are_run_again(
    tmp_path: Path,
) -> None:
    Moody.errors[0] = 1
    engine = ScriptedEngine(lambda request: "four")
    what = plan(tmp_path, "greedy", "a", "b", "c", more=", reader=moody")
    folder = Folder(tmp_path / "out", create=True)
    wrong = replace(what, errors_are_wrong=True)
    (result,) = (await go(wrong, engine, folder)).results
    assert (result.n, result.correct, result.errors, result.refused) == (3, 2, 0, 1)
    failed = {(r.strategy, r.key) for r in folder.rows() if r.error is not None}
    (result,) = (await go(replace(wrong, only=failed), engine, folder)).results
    assert (result.n, result.correct, result.refused) == (3, 3, 0)
    Moody.errors[0] = 3
    other = Folder(tmp_path / "other", create=True)
    with pytest.raises(EngineError, match="the same command goes on"):
        await go(replace(wrong, max_errors="1"), engine, other)
    assert len(other.rows()) == 2, "what there is is kept"


def test_a_suite_of_several_models_is_one_for_each() -> None:
    suite = Suite(task="countdown", strategies=["greedy"], models=["a/b", "c"])
    assert {name: one.model for name, one in suite.by_part().items()} == {"a-b": "a/b", "c": "c"}
    assert all(not one.models for one in suite.by_part().values())
    assert Suite(task="countdown", strategies=["greedy"]).by_part() == {}
    with pytest.raises(ValueError, match="leave one of them out"):
        Suite(task="countdown", strategies=["greedy"], models=["a"], model="d")
