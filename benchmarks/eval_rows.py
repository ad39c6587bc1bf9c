"""What a row of an evaluation costs weft: CPU, and memory as rows grow.

    python benchmarks/eval_rows.py [--quick] [--rows N] [--json FILE] [--profile FILE]

Problems are sums, and an engine in this process answers them at once. Each row is one call, with a
Store, records and the report, as `weft eval run` has them. Beside it stand the same questions asked
of the engine alone, and by the same strategy in a pool without an evaluation. Times are CPU time of
the process. Memory is what is resident after each fifth of the rows, and after the report.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from weft import Pool, Prompt, run
from weft.backends.engine import Engine, OnDelta
from weft.concurrency import TaskGroup
from weft.evals.records import STORE, Folder, Row, Settings
from weft.evals.running.runner import Plan, evaluate
from weft.evals.running.session import finish
from weft.evals.tasks import Sample, Task
from weft.search import Question, parse_strategy
from weft.search.strategy import Answer, stable_seed
from weft.store.store import Store
from weft.types import Delta, Request

PAGE = os.sysconf("SC_PAGE_SIZE")


class Instant(Engine):
    """Adds the numbers of a question, in one turn of the event loop."""

    real = False

    def __init__(self) -> None:
        self.name, self.model, self.context, self.concurrency = "instant", "adder", 100_000, 256

    async def connect(self) -> None: ...

    async def aclose(self) -> None: ...

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        await checkpoint()
        a, _, b = request.messages[-1].content.split()[:3]
        on_delta(Delta(f"{a} + {b} = {int(a) + int(b)}", (), 12))
        on_delta(Delta("", (), 0, finish_reason="stop", ended=True, prompt_tokens=8))


class Sums(Task):
    """Sums of two numbers."""

    name = "sums"
    spec = "sums"  # pyright: ignore[reportAssignmentType]

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        return [Sample(f"{i}", {"a": i, "b": 7 * i % 1000}) for i in range(limit or 1000)]

    def question(self, sample: Sample, seed: int) -> Question:
        prompt = Prompt.user(f"{sample.data['a']} plus {sample.data['b']} is what?")
        return Question(prompt, _last, lambda text: True, seed=seed)

    def correct(self, sample: Sample, answer: Answer) -> bool:
        return answer.value == str(sample.data["a"] + sample.data["b"])


def _last(text: str) -> str | None:
    return text.split()[-1] if text else None


@dataclass
class Memory:
    """A watcher that looks at memory once in a hundred rows."""

    rows: int = 0
    seen: dict[int, int] = field(default_factory=dict[int, int])

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None: ...

    def row(self, row: Row) -> None:
        self.rows += 1
        if self.rows % 100 == 0:
            self.seen[self.rows] = resident()

    def end(self, strategy: str) -> None: ...

    def tick(self, alive: int, engines: int) -> None: ...


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def plan(rows: int, spec: str) -> Plan:
    task = Sums()
    settings = Settings(task.spec, "", "adder", 0)
    return Plan(task, [parse_strategy(spec)], task.samples(rows, 0), settings)


async def engine_alone(what: Plan, folder: Path) -> None:
    """Each question, asked of the engine itself."""
    engine, task = Instant(), what.task
    for sample in what.samples:
        messages = task.question(sample, 0).prompt.messages
        await engine.complete(Request("r", "adder", messages), lambda delta: None)


async def in_a_pool(what: Plan, folder: Path) -> None:
    """Each question, answered by the strategy in a pool with a Store."""
    (strategy,), waiting = what.strategies, iter(what.samples)
    with Store(folder / STORE) as store:
        async with Pool(Instant(), store=store) as pool:

            async def work() -> None:
                for sample in waiting:
                    seed = stable_seed(0, strategy.spec, sample.id)
                    await run(strategy, what.task.question(sample, seed), pool=pool)

            async with TaskGroup() as group:
                for _ in range(what.concurrency):
                    group.start_soon(work)


async def evaluation(what: Plan, folder: Path, watcher: Memory | None = None) -> None:
    """All that `weft eval run` does but for starting engines."""
    there = Folder(folder, create=True)
    with Store(folder / STORE) as store:
        async with Pool(Instant(), store=store) as pool:
            await evaluate(what, pool, there, there.open(what.settings), watcher or Memory())
    finish(there)


def spent(work: Callable[[Plan, Path], Awaitable[Any]], what: Plan) -> float:
    """Microseconds of CPU a row."""
    with tempfile.TemporaryDirectory() as folder:
        gc.collect()
        begun = time.process_time()
        anyio.run(work, what, Path(folder))
        return (time.process_time() - begun) / len(what.samples) * 1e6


def measured(rows: int, spec: str) -> dict[str, Any]:
    """All figures."""
    watcher, what = Memory(), plan(rows, spec)
    spent(evaluation, plan(200, spec))  # what is imported or built once
    with tempfile.TemporaryDirectory() as folder:
        gc.collect()
        begun = time.process_time()
        anyio.run(evaluation, what, Path(folder), watcher)
        whole = (time.process_time() - begun) / rows * 1e6
        after = resident()
    points = [rows * fifth // 5 // 100 * 100 for fifth in range(1, 6)]
    first, last = points[0], points[-1]
    grown = watcher.seen[last] - watcher.seen[first]
    found: dict[str, Any] = {
        "rows": rows,
        "engine_us": spent(engine_alone, what),
        "pool_us": spent(in_a_pool, what),
        "evaluation_us": whole,
        "mib_after": {at: watcher.seen[at] / 2**20 for at in points},
        "mib_with_the_report": after / 2**20,
        "bytes_a_row": grown / (last - first),
    }
    return found | {"own_us": found["evaluation_us"] - found["engine_us"]}


def main() -> None:
    """Print the figures, and write them where asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2,000 rows instead of 20,000")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--strategy", default="greedy")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", type=Path, help="profile the evaluation into this file")
    chosen = parser.parse_args()
    rows = chosen.rows or (2_000 if chosen.quick else 20_000)
    if chosen.profile is not None:
        profile = cProfile.Profile()
        profile.runcall(spent, evaluation, plan(rows, chosen.strategy))
        profile.dump_stats(chosen.profile)
        return
    found = measured(rows, chosen.strategy)
    print(f"{rows:,} rows of {chosen.strategy}; µs of CPU a row:")
    print(f"  the engine alone           {found['engine_us']:8.0f}")
    print(f"  the strategy in a pool     {found['pool_us']:8.0f}")
    print(f"  the evaluation             {found['evaluation_us']:8.0f}")
    print(f"  weft's own                 {found['own_us']:8.0f}")
    print("MiB of memory after rows:")
    for at, mib in found["mib_after"].items():
        print(f"  {at:>9,} {mib:8.1f}")
    print(f"  the report{found['mib_with_the_report']:8.1f}")
    print(f"that is {found['bytes_a_row']:.0f} bytes a row")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
