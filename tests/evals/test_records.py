"""What is kept of an evaluation, and what can be made of it without a call."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import StoreError, UsageError
from weft.evals.finished.merging import merge
from weft.evals.finished.rescoring import rescore
from weft.evals.records import ROWS, Folder, KeptText, Row, Session, Settings
from weft.evals.results import read
from weft.evals.results.repeats import repeated
from weft.evals.running.runner import Plan, evaluate
from weft.evals.tasks.puzzles.countdown_player import Player
from weft.evals.tasks.registry import parse_task
from weft.evals.tasks.task import Task
from weft.evals.viewing.why import outcome, votes, why
from weft.orchestrator.pool import Pool
from weft.search import parse_strategy
from weft.types import Request, Usage


class Quiet:
    """A watcher that notes nothing."""

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None:
        pass

    def row(self, row: Row) -> None:
        pass

    def end(self, strategy: str) -> None:
        pass

    def tick(self, alive: int, engines: int) -> None:
        pass


def engine_by_index(*texts: str) -> ScriptedEngine:
    """Answers the same question with each of the texts in turn."""
    counts = Counter[str]()

    def reply(request: Request) -> str:
        asked = request.messages[-1].content
        counts[asked] += 1
        return texts[(counts[asked] - 1) % len(texts)]

    return ScriptedEngine(reply)


async def ran(
    path: Path, task: Task, engine: ScriptedEngine, *specs: str, repeats: int = 1, **more: Any
) -> Folder:
    settings = Settings(task.spec, task.fingerprint, "scripted", 0)
    strategies = [parse_strategy(s) for s in specs]
    folder = Folder(path, create=True)
    plan = Plan(task, strategies, task.samples(None, 0), settings, repeats=repeats, **more)
    session = folder.open(settings)
    session.task = str(getattr(task, "path", task.spec))
    async with Pool(engine, outage=0.1) as pool:
        await evaluate(plan, pool, folder, session, Quiet())
    return folder


def problems(path: Path, *pairs: tuple[str, str]) -> Path:
    lines = [json.dumps({"question": q, "answer": a, "id": q}) for q, a in pairs]
    path.write_text("\n".join(lines))
    return path


async def test_a_row_keeps_every_text_with_tokens_and_times(tmp_path: Path) -> None:
    task = parse_task(str(problems(tmp_path / "p.jsonl", ("3 + 4?", "7"))))
    engine = engine_by_index("<think>hm</think>it is 7", "it is 8", "so 7.0")
    folder = await ran(tmp_path / "out", task, engine, "majority(n=3, stop_early=false)")
    (row,) = folder.whole_rows()
    assert row.question == [{"role": "user", "content": "3 + 4?"}]
    assert (row.target, row.correct, row.answer) == ("7", True, "7")
    assert sorted((t.text, t.thinking, t.value) for t in row.texts) == [
        ("it is 7", "hm", "7"), ("it is 8", "", "8"), ("so 7.0", "", "7"),
    ]  # fmt: skip
    assert sum(t.tokens for t in row.texts) == row.usage.generated
    assert all(t.seconds > 0 and t.engine for t in row.texts)
    assert row.chosen is not None
    assert row.texts[row.chosen].text == row.text
    assert votes(row) == {"7": 2, "8": 1}
    assert why(row)[0] == "'7' has 2 of 3 votes, '8' 1"
    assert why(row)[-1] == "right: '7'"
    assert Row.read(row.line()) == row
    (slim,) = folder.rows()
    assert (slim.texts, slim.text, slim.answer) == ([], None, "7")


async def test_texts_of_a_search_know_what_they_go_on_from_and_their_scores(
    tmp_path: Path,
) -> None:
    player = Player(0.8)
    engine = ScriptedEngine(player.reply, player.scores)
    task = parse_task("countdown")
    settings = Settings("countdown", "", "scripted", 0)
    folder = Folder(tmp_path / "out", create=True)
    plan = Plan(task, [parse_strategy("beam(n=4)")], task.samples(1, 0), settings)
    async with Pool(engine) as pool:
        await evaluate(plan, pool, folder, folder.open(settings), Quiet())
    (row,) = folder.whole_rows()
    assert row.chosen is not None
    at, texts = row.chosen, list[str]()
    while at is not None:
        texts.append(row.texts[at].text)
        at = row.texts[at].after
    assert "".join(reversed(texts)) == row.text
    assert all(t.score is not None and 0 <= t.score <= 1 for t in row.texts if t.whole)


def test_rows_are_read_one_at_a_time_and_the_last_of_a_key_counts(tmp_path: Path) -> None:
    folder = Folder(tmp_path, create=True)
    rows = [Row("greedy", str(i), True, texts=[KeptText("x" * 50)]) for i in range(3)]
    for row in [*rows, replace(rows[1], correct=False)]:
        folder.append(row)
    whole = (tmp_path / ROWS).stat().st_size
    with (tmp_path / ROWS).open("a") as file:
        file.write('{"strategy": "greedy", "id": "cut')
    assert [(r.id, r.correct) for r in folder.whole_rows()] == [
        ("0", True), ("1", False), ("2", True),
    ]  # fmt: skip
    folder.rewrite(lambda row: row)
    assert (tmp_path / ROWS).stat().st_size < whole
    before = os.stat(tmp_path / ROWS).st_ino
    folder.rewrite(lambda row: row)
    assert os.stat(tmp_path / ROWS).st_ino == before, "nothing changed, nothing is written"

    def failing(row: Row) -> Row:
        raise UsageError("no")

    with pytest.raises(UsageError):
        folder.rewrite(failing)
    assert [p.name for p in tmp_path.iterdir()] == [ROWS]


async def test_repeats_vote_by_what_the_task_takes_for_the_same(tmp_path: Path) -> None:
    code = (
        "from weft.search.readers import Reader, reader\n\n\n"
        '@reader("roman")\n'
        "class Roman(Reader):\n"
        '    """Words."""\n\n'
        "    def read(self, text):\n"
        "        return text.split()[-1]\n\n"
        "    def same(self, a, b):\n"
        '        return {a, b} == {"iv", "four"}\n'
    )
    (tmp_path / "roman.py").write_text(code)
    problems(tmp_path / "p.jsonl", ("2 + 2?", "four"))
    task = parse_task(f"jsonl(path={tmp_path}/p.jsonl, reader='{tmp_path}/roman.py:Roman')")
    engine = engine_by_index("five", "iv", "five", "four", "iv")
    folder = await ran(
        tmp_path / "out", task, engine, "greedy", repeats=5, concurrency=1, max_errors="0"
    )
    result = read(folder).results[0]
    assert sorted(filter(None, (r.voted for r in result.rows))) == [
        "five", "five", "iv", "iv", "iv",
    ]  # fmt: skip
    asked = repeated(result)
    assert asked is not None
    assert asked.majority.value == 1.0


async def test_rescoring_reads_texts_anew_and_counts_a_vote_anew(tmp_path: Path) -> None:
    path = problems(tmp_path / "p.jsonl", ("half of 1?", "0.5"), ("9?", "9"))
    task = parse_task(f"jsonl(path={path}, reader='text(case=true)')")
    engine = engine_by_index("1/2", "0.7", "0.5")
    folder = await ran(tmp_path / "out", task, engine, "majority(n=3, stop_early=false)", "greedy")
    asked = len(engine.requests)
    before = {r.id: r.correct for r in folder.rows() if r.strategy != "greedy"}
    found = rescore(folder.path, reader="number")
    assert len(engine.requests) == asked
    assert found.rows == 4
    row = next(r for r in folder.whole_rows() if r.id.startswith("half") and "maj" in r.strategy)
    assert (row.answer, row.correct) == ("0.5", True)
    assert row.details["votes"] == {"0.5": 2, "0.7": 1}
    assert row.before["answer"] != "0.5"
    assert before[row.id] == row.before.get("correct", row.correct)
    once = (folder.path / ROWS).read_text()
    assert rescore(folder.path).changed == 0
    assert (folder.path / ROWS).read_text() == once
    other = problems(tmp_path / "q.jsonl", ("half of 1?", "0.5"))
    with pytest.raises(UsageError, match="has no sample '9\\?'"):
        rescore(folder.path, task=str(other))
    with pytest.raises(UsageError, match="unknown parameter of jsonl"):
        rescore(folder.path, bogus="1")


async def test_a_table_is_rescored_as_a_table(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("question,answer\nhalf of 1?,0.5\n")
    folder = await ran(
        tmp_path / "out",
        parse_task(f"csv(path={path}, reader='text(case=true)')"),
        ScriptedEngine("1/2"),
        "greedy",
    )
    assert [row.correct for row in folder.rows()] == [False]
    assert rescore(folder.path, reader="number").righted == 1


async def test_a_model_judges_while_an_evaluation_runs(tmp_path: Path) -> None:
    path = problems(tmp_path / "p.jsonl", ("Greet me.", "Hello!"), ("Say bye.", "Bye!"))
    engine = ScriptedEngine("Hi there.", lambda request: {"yes": 0.6, "no": 0.2})
    task = parse_task(f"jsonl(path={path}, reader=text, scorer=judged)")
    folder = await ran(tmp_path / "out", task, engine, "greedy")
    assert [(row.correct, row.credit) for row in folder.rows()] == [(True, 1.0), (True, 1.0)]
    assert [row.usage.calls for row in folder.rows()] == [1, 1], "judging is not the strategy's"
    with pytest.raises(UsageError, match="only while an evaluation runs"):
        rescore(folder.path, task=task.spec, reader="text", scorer="judged")


def _evaluation(path: Path, rows: list[Row], seed: int = 0) -> Path:
    folder = Folder(path, create=True)
    settings = Settings("t", "", "m", seed, server=[str(path.name)])
    folder.save(settings, Session(seconds={"greedy": 2.0}, samples={"greedy": len(rows)}))
    for row in rows:
        folder.append(row)
    return path


def test_merging_takes_what_finished_and_refuses_what_differs(tmp_path: Path) -> None:
    well = [Row("greedy", str(i), True, answer="1", texts=[KeptText("1")]) for i in range(3)]
    failed = Row("greedy", "2", None, error="down")
    a = _evaluation(tmp_path / "a", [well[0], failed])
    b = _evaluation(tmp_path / "b", [well[0], well[1], well[2]])
    merged = merge([a, b], tmp_path / "c")
    assert [(r.id, r.correct) for r in merged.results[0].rows] == [
        ("0", True), ("1", True), ("2", True),
    ]  # fmt: skip
    assert merged.settings.server == ["a", "b"]
    assert merged.session.seconds == {"greedy": 4.0}
    assert [len(r.texts) for r in Folder(tmp_path / "c").whole_rows()] == [1, 1, 1]
    with pytest.raises(UsageError, match="another -o"):
        merge([a, b], tmp_path / "c")
    with pytest.raises(UsageError, match="name another"):
        merge([a], tmp_path / "d")
    other = _evaluation(tmp_path / "e", [replace(well[0], answer="2", correct=False)])
    with pytest.raises(StoreError, match="have different rows for greedy on sample '0'; leave"):
        merge([a, other], tmp_path / "f")
    seeded = _evaluation(tmp_path / "g", [well[1]], seed=1)
    with pytest.raises(StoreError, match="seed is 0 in the one and 1 in the other"):
        merge([a, seeded], tmp_path / "f")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("row", "word", "sentence"),
    [
        (Row("s", "1", True, "3"), "right", "right: '3'"),
        (Row("s", "1", False, "3", target="4"), "wrong", "wrong: '3'; right is '4'"),
        (Row("s", "1", False, details={"abstained": True}), "abstained", "no answer on purpose"),
        (Row("s", "1", False, texts=[KeptText("x", finish="length")]), "no answer", "was cut off"),
        (
            Row("s", "1", False, details={"budget_exceeded": "calls"}),
            "no answer",
            "of calls",
        ),
        (Row("s", "1", None, error="down"), "error", "error: down"),
        (Row("s", "1", False, error="long"), "error", "error: long; it counts as wrong"),
    ],
)
def test_a_judgement_is_said_in_a_sentence(row: Row, word: str, sentence: str) -> None:
    assert outcome(row) == word
    assert sentence in why(row)[-1]


def test_statistics_see_the_rows_as_they_were_and_of_a_key_the_last(tmp_path: Path) -> None:
    folder = Folder(tmp_path, create=True)
    folder.save(Settings("t", "", "m", 0), Session())
    used = Usage(3, 20, 5, 9, 2, 0.25, 4)
    rows = [
        Row("a", "2", True, "x", 0.5, {"n": 3, "votes": {"x": 2}}, used, 1.5, repeat=1, at=9.0),
        Row("a", "2", False, None, credit=0.25, cluster="c", drawn=4, right=2, chosen=1, tries=2),
        Row("a", "1", None, error="down"),
        Row("b", "1", False, error="too long", vote="y", answer="z\ud800"),
        Row("a", "10", True, text="long", before={"correct": False}, texts=[KeptText("long")]),
        Row("a", "2", True, "y", repeat=1),
        Row("a", "1", None, error="down again"),
        Row("b", 'q"\\', True),
    ]
    for row in rows:
        folder.append(row)
    a, b = read(folder).results
    assert a.rows == (rows[4].slim, rows[1].slim, rows[5].slim)
    assert (a.errors, a.n, a.correct) == (1, 3, 2)
    assert b.rows == (rows[3].slim, rows[7].slim)
    assert b.rows[-1:] == (rows[7].slim,)
    assert list(folder.row_keys()) == [(r.strategy, r.key) for r in rows]
    assert [r.strategy for r in folder.every_row("b")] == ["b", "b"]
    # Rows of earlier versions have their fields in another order.
    old = json.loads(rows[0].line())
    old = {"id": old.pop("id"), **old}
    (tmp_path / ROWS).write_text(json.dumps(old) + "\n")
    assert list(folder.whole_rows()) == [rows[0]]
