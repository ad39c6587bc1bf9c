"""A run that is killed again and again comes to what it would have come to."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.evals.records import Folder
from weft.evals.tasks.countdown_player import Player
from weft.types import Request
from weft_process import WeftProcess


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
        return self.player.reply(request)


def rows(path: Path) -> list[tuple[Any, ...]]:
    return sorted(
        (
            r.strategy, r.id, r.correct, r.answer, r.text, r.score, r.usage.calls,
            r.usage.prompt, r.usage.completion, tuple(sorted(t.text for t in r.texts)),
        )
        for r in Folder(path).whole_rows()
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_killed_twice_and_resumed_there_are_the_same_rows_and_nothing_is_paid_twice(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"

    def process(url: str, out: str) -> WeftProcess:
        given = ("-s", "majority(n=2, stop_early=false)", "-s", "greedy", "--limit", "6")
        more = ("-e", url, "--concurrency", "1", "--out", str(tmp_path / out), "--moved")
        return WeftProcess("eval", "run", "countdown", *given, *more, log=log)

    calm = Stopping()
    with running(ScriptedEngine(calm.reply, model="countdown")) as url:
        assert process(url, "calm").wait(120) == 0, log.read_text()
    assert set(calm.asked.values()) == {1}
    rough = Stopping(6, 15)
    with running(ScriptedEngine(rough.reply, model="countdown")) as url:
        for _ in range(2):
            rough.stopped.clear()
            mortal = process(url, "rough")
            assert rough.stopped.wait(120), log.read_text()
            mortal.kill()
            mortal.wait(30)
            rough.gate.set()
            rough.gate.clear()
        last = process(url, "rough")
        assert last.wait(120) == 0, log.read_text()
    assert rows(tmp_path / "rough") == rows(tmp_path / "calm")
    assert set(rough.asked) == set(calm.asked)
    # Only what was under way when the process died is asked again.
    assert sum(count - 1 for count in rough.asked.values()) <= 4
