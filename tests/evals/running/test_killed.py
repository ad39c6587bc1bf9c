"""A run that is killed again and again comes to what it would have come to."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.evals.records import Folder
from weft.evals.tasks.puzzles.countdown_player import Player
from weft.types import Request
from weft_process import WeftProcess

STRATEGIES = (
    *("greedy", "greedy(think=true)", "majority(n=2, stop_early=false)"),
    *("majority(n=3, stop_early=false)", "best_of_n(n=2)", "best_of_n(n=3)"),
    *("weighted_majority(n=2)", "rpc(n=2)"),
)
TASKS = ("countdown", "sudoku", "p.jsonl", "q.jsonl")


class Stopping:
    """Answers as a player does, but keeps the requests with these numbers waiting for the test."""

    def __init__(self, *at: int) -> None:
        self.player, self.at = Player(0.6), set(at)
        self.asked: Counter[tuple[Any, ...]] = Counter()
        self.stopped, self.gate = threading.Event(), threading.Event()

    def reply(self, request: Request) -> str:
        self.asked[request.messages, request.sampling.seed] += 1
        if self.asked.total() in self.at:
            self.stopped.set()
            self.gate.wait(60)
        if "solve" in request.messages[0].content:
            return self.player.reply(request)
        return f"it is {len(request.messages[-1].content) + (request.sampling.seed or 0) % 2}"


def rows(path: Path) -> list[tuple[Any, ...]]:
    return sorted(
        (
            r.strategy, r.id, r.correct, r.answer, r.text, r.score, r.usage.calls,
            r.usage.prompt, r.usage.completion, tuple(sorted(t.text for t in r.texts)),
        )
        for r in Folder(path).whole_rows()
    )  # fmt: skip


def killed_at(calls: Stopping, start: Callable[[str], WeftProcess], log: Path) -> None:
    """Start a process, kill it at each stop of the engine, and have another one end the work."""
    with running(ScriptedEngine(calls.reply, model="countdown")) as url:
        for _ in calls.at:
            calls.stopped.clear()
            mortal = start(url)
            assert calls.stopped.wait(120), log.read_text()
            mortal.kill()
            mortal.wait(30)
            calls.gate.set()
            calls.gate.clear()
        last = start(url)
        assert last.wait(240) == 0, log.read_text()


@pytest.mark.timeout(600)
def test_killed_twice_and_resumed_there_are_the_same_rows_and_nothing_is_paid_twice(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    for name, plus in (("p", 1), ("q", 2)):
        lines = [json.dumps({"question": name * n, "answer": n + plus}) for n in range(3, 5)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    suite = {"tasks": TASKS, "strategies": STRATEGIES, "limit": 1, "concurrency": 1}
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))

    def start(out: str) -> Callable[[str], WeftProcess]:
        def process(url: str) -> WeftProcess:
            where = "-e", url, "--out", str(tmp_path / out), "--moved"
            return WeftProcess("eval", "run", str(tmp_path / "suite.yaml"), *where, log=log)

        return process

    calm, rough = Stopping(), Stopping(11, 38)
    killed_at(calm, start("calm"), log)
    assert set(calm.asked.values()) == {1}
    assert calm.asked.total() > 45
    killed_at(rough, start("rough"), log)
    parts = sorted(path.parent.name for path in (tmp_path / "calm").glob("*/run.json"))
    assert parts == ["countdown", "p", "q", "sudoku"]
    for part in parts:
        undisturbed = rows(tmp_path / "calm" / part)
        assert rows(tmp_path / "rough" / part) == undisturbed
        assert len(undisturbed) == len(STRATEGIES)
    assert set(rough.asked) == set(calm.asked)
    # Only what was under way when the process died is asked again.
    assert sum(count - 1 for count in rough.asked.values()) <= 6


@pytest.mark.timeout(300)
def test_of_a_batch_nothing_at_all_is_paid_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def start(url: str) -> WeftProcess:
        given = "-s", "majority(n=2, stop_early=false)", "-s", "greedy", "--limit", "3"
        engine = "--batch", "-e", f"openai:countdown@{url}/v1", "--moved"
        where = "--out", str(tmp_path / "out")
        return WeftProcess("eval", "run", "countdown", *given, *engine, *where, log=log)

    rough = Stopping(3, 8)
    killed_at(rough, start, log)
    assert len(rows(tmp_path / "out")) == 6
    assert set(rough.asked.values()) == {1}
    assert rough.asked.total() == 9
