"""Which settings of a launch are the fastest for a workload: each is started and measured.

Throughput over such settings is irregular (Martinez 2024), so nothing is interpolated: what is
chosen was run. Settings that don't start, or die on the way, are rows like others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from weft.errors import UsageError, WeftError
from weft.evals.records import Row
from weft.evals.running.runner import EvaluationWatcher
from weft.evals.running.session import open_suite, watched
from weft.evals.studies.choosing import SEARCHES, Choice, Space, Trying
from weft.evals.studies.engine_trials import (
    EngineTrial,
    check_workload,
    compared,
    finite,
    read_trials,
)
from weft.evals.studies.launching import Launcher
from weft.evals.suites.suite import Suite
from weft.evals.tasks.guarded_task import GuardedTask

TRIALS = "trials.jsonl"
_WARM = 2
"""Problems that are run before it counts."""
_LEAST = 4
"""Problems that a measurement takes at least."""


@dataclass(frozen=True)
class EngineFound:
    """What was decided.

    Attributes:
        best: the settings to take, as measured on the problems that no search has seen.
        given: the settings that were there before, measured on the same.
        decided: all that were measured there.
        trials: all measurements, those of the search too.
    """

    best: EngineTrial
    given: EngineTrial
    decided: list[EngineTrial]
    trials: list[EngineTrial]


RunProblems = Callable[
    [Suite, Sequence[str], EvaluationWatcher], Awaitable[tuple[list[Row], float]]
]


class EngineTuning:
    """Measures settings on a workload, each once, and keeps what came of it.

    Args:
        suite: the workload: a task, and the strategies that are run on it.
        out: the folder for measurements; what is there already is not measured again.
        launcher: starts engines.
        problems: of the search, and of the decision, each.
        watcher: told how it goes.
        say: told what came of each measurement.
        run: runs problems on engines.
    """

    def __init__(
        self,
        suite: Suite,
        out: Path,
        launcher: Launcher,
        problems: int,
        watcher: EvaluationWatcher,
        say: Callable[[str], None] = lambda _: None,
        run: RunProblems | None = None,
    ) -> None:
        if problems < _LEAST:
            raise UsageError(f"problems={problems} must be at least {_LEAST}")
        task, _ = suite.parts()
        ids = [s.id for s in GuardedTask(task).samples(2 * problems + _WARM, suite.seed)]
        if len(ids) < 2 * problems + _WARM:
            raise UsageError(
                f"{len(ids)} problems are too few to search with {problems} and decide with as "
                f"many others; give --problems {max((len(ids) - _WARM) // 2, 1)} at most"
            )
        self._run_problems = run or run_problems
        self._ids = {"search": ids[:problems], "held out": ids[problems : 2 * problems]}
        self._warm = ids[2 * problems :]
        self._suite = suite.model_copy(update={"limit": len(ids)})
        self._launcher, self._watcher, self._say = launcher, watcher, say
        self._file, self.problems = out / TRIALS, problems
        check_workload(out, suite, problems)
        self._known = {one.key: one for one in read_trials(self._file)}

    @property
    def trials(self) -> list[EngineTrial]:
        """All that was measured so far."""
        return list(self._known.values())

    async def measure(self, choice: Choice, part: str, problems: int) -> EngineTrial:
        """Start engines with some settings and run problems on them."""
        trial = EngineTrial(dict(choice), part, problems)
        if (known := self._known.get(trial.key)) is not None:
            return known
        try:
            trial = await self._run(trial)
        except WeftError as error:
            trial = replace(trial, error=str(error))
        self._known[trial.key] = trial
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(trial) | {"seconds": finite(trial.seconds)}) + "\n")
        came = trial.error or f"{trial.rate:.3g} problems a second"
        self._say(f"{len(self._known)}. {_words(choice)}: {came}")
        return trial

    async def _run(self, trial: EngineTrial) -> EngineTrial:
        async with self._launcher(trial.settings) as engines:
            suite = self._suite.model_copy(update={"engine": engines})
            await self._run_problems(suite, self._warm, self._watcher)
            ids = self._ids[trial.part][: trial.problems]
            rows, seconds = await self._run_problems(suite, ids, self._watcher)
        generated = sum(row.usage.generated for row in rows)
        right = [bool(row.correct) for row in sorted(rows, key=lambda row: (row.strategy, row.id))]
        return replace(
            trial, seconds=max(seconds, 1e-9), tokens=generated / max(seconds, 1e-9), right=right
        )


async def run_problems(
    suite: Suite, ids: Sequence[str], watcher: EvaluationWatcher
) -> tuple[list[Row], float]:
    """The rows of some problems, and the seconds that they took.

    Args:
        suite: with the engines to run them on.
        ids: of the problems.
        watcher: told how it goes.

    Raises:
        WeftError: engines failed, or a problem did.
    """
    only = {(strategy.spec, (id, 0)) for strategy in suite.parts()[1] for id in ids}
    with TemporaryDirectory() as folder:
        async with open_suite(suite, Path(folder), only=only) as opened:
            await watched(opened, opened.plan, watcher)
            rows = opened.folder.rows()
    if failed := [row for row in rows if row.correct is None]:
        raise UsageError(f"{len(failed)} of {len(ids)} problems failed: {failed[0].error}")
    return rows, sum(opened.session.seconds.values())


async def tune_engine(
    tuning: EngineTuning, space: Space, *, trials: int, by: str, seed: int = 0, finalists: int = 3
) -> EngineFound:
    """Search settings, then decide on problems that no search has seen.

    Among the finalists, and what was there before, the fastest is taken whose answers are not
    clearly less often right.

    Args:
        tuning: measures.
        space: the settings; the first value of each is what was there before.
        trials: of the search.
        by: `halving`, or one of `SEARCHES`.
        seed: of the search.
        finalists: how many are measured again to decide.

    Raises:
        UsageError: nothing works, not even what was there before.
    """
    given = {name: values[0] for name, values in space.items()}
    if by == "halving":
        ranked = await _halving(tuning, space, trials, seed)
    else:
        trying = Trying(lambda choice: _rate(tuning, choice), trials)
        await SEARCHES[by](space, trying, seed)
        working = [one for one in trying.done if one.value > -math.inf]
        ranked = [one.choice for one in sorted(working, key=lambda one: -one.value)]
    finals = [given, *(choice for choice in ranked if choice != given)][: finalists + 1]
    decided = [await tuning.measure(one, "held out", tuning.problems) for one in finals]
    before = decided[0]
    fit = [one for one in decided if not one.error and not _worse(one, before)]
    if not fit:
        raise UsageError(f"no settings work; as it was: {before.error}")
    return EngineFound(max(fit, key=lambda one: one.rate), before, decided, tuning.trials)


async def _rate(tuning: EngineTuning, choice: Choice) -> float:
    trial = await tuning.measure(choice, "search", tuning.problems)
    return -math.inf if trial.error else trial.rate


async def _halving(tuning: EngineTuning, space: Space, trials: int, seed: int) -> list[Choice]:
    """Successive halving (Jamieson and Talwalkar 2016): few problems first, more for the better.

    Returns:
        the settings that were measured longest, the fastest first.
    """
    drawn: list[Choice] = []

    async def note(choice: Choice) -> float:
        drawn.append(choice)
        return 0.0

    await note({name: values[0] for name, values in space.items()})
    await SEARCHES["random"](space, Trying(note, trials - 1), seed)
    left = list({json.dumps(one, sort_keys=True): one for one in drawn}.values())
    rungs = max(1, math.ceil(math.log2(max(len(left), 2))))
    for rung in range(rungs):
        size = max(_LEAST, tuning.problems >> (rungs - 1 - rung))
        found = [await tuning.measure(one, "search", size) for one in left]
        ranked = sorted(found, key=lambda one: -one.rate)
        working: list[Choice] = [one.settings for one in ranked if not one.error]
        left = working if rung == rungs - 1 else working[: math.ceil(len(left) / 2)]
    return left


def _worse(trial: EngineTrial, than: EngineTrial) -> bool:
    """Whether answers are clearly less often right."""
    if than.error or len(trial.right) != len(than.right):
        return False
    difference = compared(trial, than)
    return difference.mean < 0 and difference.p <= 0.05


def _words(choice: Choice) -> str:
    return ", ".join(f"{name}={value}" for name, value in choice.items()) or "as it is"
