"""Which pipeline is best for a task: searched on a slice of it, decided on the rest.

After Archon (Saad-Falcon et al. 2024). All searches have the same number of trials, and each
pipeline is held to the same tokens a problem. The pipelines that they find are then run on the
problems that no search has seen.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from weft.errors import UsageError, WeftError
from weft.evals.records import write
from weft.evals.results import Result, gather
from weft.evals.running.runner import EvaluationWatcher
from weft.evals.running.session import OpenSuite, finish, watched
from weft.evals.statistics import Share, mean
from weft.evals.studies.choosing import SEARCHES, Choice, Space, Trying
from weft.evals.tasks.task import Sample
from weft.search import Archon, Strategy

SEARCH = "search.json"
"""What a search found, in the evaluation's folder."""


def space(roles: Sequence[str] = ("solver",)) -> Space:
    """What pipelines may be made of; the first of all choices is one answer.

    Args:
        roles: of the models that may write answers.
    """
    writers = [role for role in roles if role != "solver"]
    return {
        "n": (1, 2, 4, 8),
        **{f"{role}_n": (0, 1, 2, 4) for role in writers},
        "screen": (False, True),
        "tests": (False, True),
        "critic": (False, True),
        "keep": (0, 1, 2, 4),
        "fuse": (0, 1, 2),
        "again": (False, True),
    }


def layers_of(choice: Choice) -> str:
    """The layers of a choice; what would have no use there is left out."""
    answers = sum(value for name, value in choice.items() if name == "n" or name.endswith("_n"))
    first = [f"generator(n={choice['n']})"]
    for name, value in choice.items():
        if name.endswith("_n") and value:
            first.append(f"generator(n={value}, role={name.removesuffix('_n')})")
    layers = [" + ".join(first)]
    several, keep = answers > 1, 0 < choice["keep"] < answers
    layers += ["screen"] * (several and choice["screen"])
    layers += ["unit_tests", f"evaluator(k={answers})"] * (several and choice["tests"])
    layers += ["critic"] * (choice["critic"] and bool(keep or choice["fuse"]))
    layers += [f"ranker(k={choice['keep']})"] * keep
    if choice["fuse"]:
        layers.append(f"fuser(n={choice['fuse']})")
        layers += ["fuser(n=1)"] * (choice["again"] and choice["fuse"] > 1)
    return " | ".join(layers)


@dataclass(frozen=True, slots=True)
class FoundPipeline:
    """What a search found.

    Attributes:
        by: the search.
        spec: of the best pipeline on the slice.
        trials: how many pipelines were tried.
        slice: its accuracy there, which is the best of many and so too high.
        rest: its accuracy on the problems that no search has seen.
        tokens: that it takes a problem, in the mean of all.
    """

    by: str
    spec: str
    trials: int
    slice: Share
    rest: Share
    tokens: float

    def json(self) -> dict[str, Any]:
        """As in `search.json`."""
        return {
            "by": self.by,
            "pipeline": self.spec,
            "trials": self.trials,
            "slice": [self.slice.value, self.slice.low, self.slice.high],
            "rest": [self.rest.value, self.rest.low, self.rest.high],
            "tokens": self.tokens,
        }


async def search_pipelines(
    opened: OpenSuite,
    watcher: EvaluationWatcher,
    *,
    trials: int,
    part: float = 0.2,
    by: Sequence[str] = tuple(SEARCHES),
    choices: Space | None = None,
    on_found: Callable[[str], None] = lambda _: None,
) -> list[FoundPipeline]:
    """Search, then decide on the problems that no search has seen.

    The same command, begun again, goes on: rows are kept, and each search tries the same again.

    Args:
        opened: the suite; its strategies are decided beside what is found.
        watcher: told how it goes.
        trials: of each search.
        part: the share of the problems on which pipelines are tried.
        by: the searches, see `SEARCHES`.
        choices: the space; by default that of the roles of the suite.
        on_found: told what each search found, in words.

    Raises:
        UsageError: there are too few problems.
    """
    plan = opened.plan
    tried, rest = _parted(plan.samples, part, plan.settings.seed)
    among = choices or space(["solver", *(r for r in plan.settings.roles if r == "draft")])
    found: dict[str, tuple[Strategy, int]] = {}

    async def value(choice: Choice) -> float:
        pipeline = Archon(layers=layers_of(choice))
        try:
            await watched(opened, replace(plan, strategies=[pipeline], samples=tried), watcher)
        except UsageError as error:  # the task can't give what a component needs
            on_found(f"left out: {error}")
            return -math.inf
        return _worth(_result(opened, pipeline.spec, tried))

    for name in by:
        trying = Trying(value, trials, layers_of)
        await SEARCHES[name](among, trying, plan.settings.seed)
        best = max(trying.done, key=lambda one: one.value)
        if best.value == -math.inf:
            raise UsageError(f"no pipeline that {name} tried works with this task and engines")
        pipeline = Archon(layers=layers_of(best.choice))
        found[name] = pipeline, len(trying.done)
        on_found(f"{name}: {pipeline.layers}")
    chosen = list({s.spec: s for s in [*plan.strategies, *(s for s, _ in found.values())]}.values())
    try:
        await watched(opened, replace(plan, strategies=chosen), watcher)
    except WeftError:
        finish(opened.folder)
        raise
    given = {f"given: {s.spec}": (s, 0) for s in plan.strategies}
    table = [
        _told(opened, name, s.spec, count, tried, rest)
        for name, (s, count) in {**found, **given}.items()
    ]
    data = json.dumps([one.json() for one in table], indent=2)
    write(opened.folder.path / SEARCH, data + "\n")
    finish(opened.folder)
    return table


def _parted(samples: Sequence[Sample], part: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """The problems that are tried, and the rest; what is of one cluster stays together."""
    clusters = list(dict.fromkeys(s.cluster or s.id for s in samples))
    random.Random(seed).shuffle(clusters)
    first = set(clusters[: round(part * len(clusters))])
    tried = [s for s in samples if (s.cluster or s.id) in first]
    rest = [s for s in samples if (s.cluster or s.id) not in first]
    if not tried or not rest:
        raise UsageError(
            f"a slice of {part:g} of {len(clusters)} problems leaves none to search or none to "
            "decide with; give more problems, or another --slice"
        )
    return tried, rest


def _result(opened: OpenSuite, spec: str, samples: Sequence[Sample]) -> Result:
    """The results of a strategy on some problems."""
    ids = {s.id for s in samples}
    rows = [r for r in opened.folder.rows() if r.strategy == spec and r.id in ids]
    return next(iter(gather(opened.plan.settings, opened.session, rows).results), Result(spec, ()))


def _worth(result: Result) -> float:
    """Accuracy; of equals the one with fewer tokens."""
    return result.accuracy - 1e-9 * result.computed if result.n else -1.0


def _told(
    opened: OpenSuite,
    by: str,
    spec: str,
    trials: int,
    tried: Sequence[Sample],
    rest: Sequence[Sample],
) -> FoundPipeline:
    there, elsewhere = _result(opened, spec, tried), _result(opened, spec, rest)
    tokens = mean([float(row.usage.total) for row in (*there.rows, *elsewhere.rows)])
    return FoundPipeline(by, spec, trials, there.share, elsewhere.share, tokens)
