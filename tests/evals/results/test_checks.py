"""A share of an evaluation's calls is asked of a second engine, and differences are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.evals.records import Folder, Settings
from weft.evals.reports.report import html
from weft.evals.results import read
from weft.evals.results.checks import CHECKS, read_checks
from weft.evals.running.runner import Plan, evaluate
from weft.evals.tasks.registry import parse_task
from weft.orchestrator.pool import Pool
from weft.search import parse_strategy
from weft.types import Request


class Silent:
    """A watcher that notes nothing."""

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None: ...
    def row(self, row: Any) -> None: ...
    def end(self, strategy: str) -> None: ...
    def tick(self, alive: int, engines: int) -> None: ...


def well(request: Request) -> str:
    return f"it is {request.messages[-1].content.split()[0]}"


def ill(request: Request) -> str:
    n = int(request.messages[-1].content.split()[0])
    return {0: "it is 99", 1: "so 1.0"}.get(n, well(request))


async def checked(path: Path, share: float, *engines: ScriptedEngine) -> Folder:
    lines = [json.dumps({"question": f"{n} + 0?", "answer": n, "id": str(n)}) for n in range(6)]
    (path / "p.jsonl").write_text("\n".join(lines))
    task = parse_task(f"jsonl(path={path}/p.jsonl, reader=number)")
    settings = Settings(task.spec, task.fingerprint, "m", 0)
    strategies = [parse_strategy("greedy")]
    plan = Plan(task, strategies, task.samples(None, 0), settings, check=share, concurrency=1)
    folder = Folder(path / "out", create=True)
    async with Pool(*engines, outage=0.1) as pool:
        await evaluate(plan, pool, folder, folder.open(settings), Silent())
    return folder


async def test_differences_between_engines_are_found_and_cost_the_strategy_nothing(
    tmp_path: Path,
) -> None:
    first = ScriptedEngine(well, model="m", name="well")
    second = ScriptedEngine(ill, model="m", name="ill")
    folder = await checked(tmp_path, 1.0, first, second)
    (found,) = read_checks(folder)
    asked = [r.messages[-1].content[0] for r in (*first.requests, *second.requests)]
    assert sorted(asked) == sorted("001122334455")
    assert sum(found.counts.values()) == 6
    assert found.counts == {"same text": 4, "same answer": 1, "other answer": 1}
    (shown,) = found.shown
    assert (shown.id, set(shown.values)) == ("0", {"0", "99"})
    assert set(shown.engines) == {"well", "ill"}
    assert found.tokens > 0
    evaluation = read(folder)
    assert evaluation.results[0].usage.calls == 6
    page = html(evaluation)
    assert "Result checks" in page
    assert "it is 99" in page


@pytest.mark.parametrize("share", [0.0, 0.5])
async def test_only_the_share_is_checked_the_same_each_time(tmp_path: Path, share: float) -> None:
    seen: list[set[str]] = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        engines = [ScriptedEngine(well, model="m", name=n) for n in ("one", "two")]
        folder = await checked(tmp_path / name, share, *engines)
        lines = (folder.path / CHECKS).read_text().splitlines() if share else []
        seen.append({json.loads(line)["id"] for line in lines})
    assert seen[0] == seen[1]
    assert (0 < len(seen[0]) < 6) == bool(share)
