"""One session of an evaluation: engines up, strategies run, results and report written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio

from weft.backends.engine import Engine
from weft.backends.kinds.specs import open_engines
from weft.backends.kinds.specs import parse as parse_engine
from weft.concurrency import TaskGroup
from weft.errors import EngineError, UsageError, WeftError, WrongModel
from weft.evals import results
from weft.evals.costs.energy import read_energy
from weft.evals.costs.shapes import find_shape
from weft.evals.records import CELLS, REPORT, ROWS, STORE, Folder, Session, Settings, write
from weft.evals.records.row import RowKey
from weft.evals.reports import report
from weft.evals.reports.purposes import Purposes
from weft.evals.reports.searched_tree import SearchedTrees
from weft.evals.reports.sweep import cell_lines
from weft.evals.results import Evaluation
from weft.evals.running.runner import EvaluationWatcher, Plan, evaluate
from weft.evals.suites import grid
from weft.evals.suites.suite import Suite
from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.viewing.viewer import write_viewer
from weft.orchestrator.engines.joining import close, connect
from weft.orchestrator.pool import Pool
from weft.parts.signature import parameters
from weft.search.needs import lacking
from weft.store.store import Store

BATCHES = "batches.jsonl"
"""What was sent by batches, in an evaluation's folder."""
_AT_ONCE = 4096
"""Samples under way at once, where their calls go by batches."""


@dataclass(frozen=True, slots=True)
class OpenSuite:
    """A suite with its engines up and its folder held.

    Attributes:
        plan: what to run.
        pool: the engines.
        folder: for all results.
        session: what is known of how the rows come about.
    """

    plan: Plan
    pool: Pool
    folder: Folder
    session: Session


@asynccontextmanager
async def open_suite(
    suite: Suite,
    out: Path,
    *,
    store: str | Path | None = None,
    moved: bool = False,
    several: bool = False,
    command: str = "",
    version: str = "",
    only: Collection[RowKey] | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> AsyncGenerator[OpenSuite]:
    """Bring the engines of a suite up, and hold its folder; see `run_suite`."""
    task, strategies = suite.parts()
    guarded = GuardedTask(task)
    samples = sorted(guarded.samples(suite.limit, suite.seed), key=lambda s: s.priority)
    spec, fingerprint = guarded.spec, guarded.fingerprint
    specs = suite.engine or ([task.engine] if task.engine else None)
    if not specs:
        raise UsageError(f"task {task.name} has no engine of its own; give --engine")
    folder = Folder(out, create=True)
    further = _by_batch(specs, folder) if suite.batch else {}
    with folder.writing():
        async with open_engines(
            specs,
            model=suite.model,
            replicas=suite.replicas,
            further=further,
            on_progress=on_progress,
        ) as engines:
            roles = dict(suite.roles)
            if suite.model is not None:
                roles.setdefault("solver", suite.model)
            if several:
                engines = await serving(engines, roles.values(), on_progress)
            with Store(store or out / STORE) as kept:
                async with Pool(*engines, roles=roles, policy=suite.policy, store=kept) as pool:
                    settings = Settings(
                        task=spec,
                        data=fingerprint,
                        model=pool.model("solver"),
                        seed=suite.seed,
                        budget=suite.budget.model_dump(exclude_none=True),
                        roles=suite.roles,
                        sampling=suite.sampling,
                        server=sorted({spec.strip().rstrip("/") for spec in specs}),
                    )
                    session = folder.open(settings, moved=moved)
                    session.engines = [e.name for e in pool.engines]
                    session.command, session.version = command, version
                    session.shape = _shape(specs, pool, suite)
                    session.task, session.folder = suite.task, str(Path.cwd())
                    session.suite = suite.model_dump(by_alias=True, exclude_defaults=True)
                    if suite.sweep:
                        session.cells |= grid.cells(suite.strategies, suite.sweep)
                    session.problems = max(session.problems, len(samples))
                    plan = Plan(
                        task,
                        strategies,
                        samples,
                        settings,
                        suite.budget.limits(),
                        max(suite.concurrency, _AT_ONCE if suite.batch else 1),
                        suite.max_errors,
                        suite.repeats,
                        read_energy if all(map(_here, specs)) else dict,
                        only,
                        suite.retries,
                        suite.on_error == "wrong",
                        suite.priorities(strategies),
                        suite.check,
                    )
                    own = [e for e in pool.engines if e.model == settings.model]
                    if suite.check and len(own) < 2:
                        raise UsageError(
                            f"check={suite.check:g} asks a second engine, and only one serves "
                            f"{settings.model}; give another --engine, or leave check out"
                        )
                    yield OpenSuite(plan, pool, folder, session)


async def run_suite(
    suite: Suite,
    out: Path,
    watcher: EvaluationWatcher,
    *,
    store: str | Path | None = None,
    moved: bool = False,
    several: bool = False,
    command: str = "",
    version: str = "",
    only: Collection[RowKey] | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Run a suite, or what of it is not in `out` yet.

    Args:
        suite: what to run.
        out: the folder for all results.
        watcher: told how it goes.
        store: the file or URL for results of calls; in `out` if None.
        moved: whether the engines are those of before at other addresses.
        several: whether other models are run beside: engines that serve none of this suite's, or
            can't be reached, are then left out.
        command: for the record.
        version: of weft, for the record.
        only: strategies, and samples with repeats, to run of it; all if None.
        on_progress: told how the engines come up, and what they or the task can't give that a
            strategy needs.

    Raises:
        WeftError: see its kinds; what has finished is kept in `out`.
    """
    async with open_suite(
        suite,
        out,
        store=store,
        moved=moved,
        several=several,
        command=command,
        version=version,
        only=only,
        on_progress=on_progress,
    ) as opened:
        plan, folder = opened.plan, opened.folder
        question = GuardedTask(plan.task).question(plan.samples[0], suite.seed)
        for strategy in plan.strategies:
            for sentence in lacking(strategy, question, opened.pool):
                on_progress(f"warning: {sentence}")
        try:
            await watched(opened, plan, watcher)
        except WeftError:
            finish(folder)  # what has finished is worth a report
            raise
        return finish(folder)


async def serving(
    engines: Sequence[Engine], models: Collection[str], say: Callable[[str], None]
) -> list[Engine]:
    """The engines that can be reached, and serve one of the models; the others are closed.

    Raises:
        WeftError: none is left: what is wrong with the first.
    """
    found: dict[str, Engine] = {}
    wrong: list[WeftError] = []

    async def look(engine: Engine) -> None:
        try:
            await connect(engine)
            if models and engine.model not in models:
                raise WrongModel(f"{engine.name} serves {engine.model}")
        except EngineError as e:
            await close(engine)
            wrong.append(e)
            if not isinstance(e, WrongModel):
                say(f"warning: {engine.name} is left out: {e}")
        else:
            found[engine.name] = engine

    async with TaskGroup() as group:
        for engine in engines:
            group.start_soon(look, engine)
    if not found:
        raise wrong[0]
    return [engine for engine in engines if engine.name in found]


def _by_batch(specs: Sequence[str], folder: Folder) -> dict[str, str]:
    """What has engines send their calls by batches, which the folder remembers."""
    for spec in specs:
        if all(p.name != "batch" for p in parameters(parse_engine(spec).kind)):
            raise UsageError(f"{spec} takes no batches; give an openai: engine, or leave out batch")
    return {"batch": str(folder.path / BATCHES)}


def _here(spec: str) -> bool:
    """Whether an engine runs on this machine, since it is started with the evaluation."""
    return bool(getattr(parse_engine(spec).kind, "starts", False))


def _shape(specs: Sequence[str], pool: Pool, suite: Suite) -> dict[str, Any]:
    """The shape of the model that all roles have in common; nothing if there are several."""
    solver = pool.model("solver")
    if any(model != solver for model in suite.roles.values()):
        return {}
    written = (parse_engine(spec).values.get("model") for spec in specs)
    shape = find_shape([*(name for name in written if isinstance(name, str)), solver])
    return {} if shape is None else asdict(shape)


async def watched(opened: OpenSuite, plan: Plan, watcher: EvaluationWatcher) -> None:
    """Run a plan, perhaps another than the suite's, and tell the watcher each second."""

    async def tick() -> None:
        while True:
            await anyio.sleep(1)
            replicas = opened.pool.scheduler.replicas
            watcher.tick(sum(r.alive for r in replicas), len(replicas))

    async with TaskGroup() as group:
        group.start_soon(tick)
        await evaluate(plan, opened.pool, opened.folder, opened.session, watcher)
        group.cancel_scope.cancel()


def finish(folder: Folder) -> Evaluation:
    """Write the report of what a folder holds, and the page of all answers."""
    rows, spent, trees = results.Gathering(), Purposes(), SearchedTrees()
    write_viewer(folder, lambda row: (rows.add(row), spent.add(row), trees.add(row)))
    evaluation = rows.evaluation(folder)
    write(folder.path / REPORT, report.html(evaluation, spent, trees))
    if cells := evaluation.session.cells:
        write(folder.path / CELLS, cell_lines(evaluation.results, cells))
    return evaluation


def finished(out: Path) -> int:
    """How many samples in a folder are finished and would not be run again."""
    path = out / ROWS
    if not path.exists():
        return 0
    return sum(r.error is None for r in Folder(out).whole_rows(texts=False))
