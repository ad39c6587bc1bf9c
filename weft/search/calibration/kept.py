"""Calibrations: examples of how a method scored a model's answers on a task, kept in the Store."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from weft.errors import StoreError
from weft.orchestrator.pool import Pool
from weft.programs.scope import current
from weft.search.calibration.tracker import BetaTracker

if TYPE_CHECKING:
    from weft.search.question import Question
    from weft.store.store import Store

_log = logging.getLogger(__name__)
_warned: WeakKeyDictionary[Pool, set[str]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Example:
    """A score that a method gave.

    Attributes:
        problem: what the example is not independent of: examples of one problem are no more than
            one for any bound.
        score: what the method made of it.
        right: whether what was scored is right; None if it is nothing that can be.
        beside: what came of the same question by other ways to answer it, by their specs, where
            the method chooses among them: whether the answer was right, and the tokens that it
            cost. The empty spec is the method itself.
        levels: what the question demands, by dimension, where the method goes by that.
    """

    problem: str
    score: float
    right: bool | None = None
    beside: Mapping[str, tuple[bool, float]] = field(
        default_factory=dict[str, tuple[bool, float]], hash=False
    )
    levels: Mapping[str, float] = field(default_factory=dict[str, float], hash=False)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of a method's scores.

    Attributes:
        model: whose answers were scored.
        task: what they answered: `Question.task`, or a name that was given to it.
        method: that scored them: the spec of a strategy, without what is decided by scores.
        examples: in the order in which they came.
        at: when it was made, in seconds since 1970.
    """

    model: str
    task: str
    method: str
    examples: tuple[Example, ...]
    at: float = field(default_factory=time.time)

    def problems(self, right: bool | None = None) -> int:
        """Of how many problems it has examples: any, or right or wrong ones."""
        return len({e.problem for e in self.examples if right is None or e.right is right})

    def scores(self, right: bool | None = None) -> list[float]:
        """The scores, smallest first: all, or those of what was right, or wrong."""
        return sorted(e.score for e in self.examples if right is None or e.right is right)

    @property
    def rate(self) -> BetaTracker:
        """How often what was scored was right: what is believed of that rate."""
        return BetaTracker().seen(len(self.scores(True)), len(self.scores(False)))


def keep_calibrations(store: Store, made: Iterable[Calibration]) -> None:
    """Keep calibrations; each takes the place of the one for the same method, model and task.

    Raises:
        StoreError: they can't be written.
    """
    texts: dict[str, str] = {}
    for one in made:
        examples = [
            [e.problem, e.score, e.right, e.beside, *([e.levels] if e.levels else [])]
            for e in one.examples
        ]
        texts[_key(one.model, one.task, one.method)] = json.dumps(
            {"at": one.at, "examples": examples}
        )
    store.keep_calibrations(texts)


def kept_calibrations(store: Store) -> list[Calibration]:
    """All that a store keeps, oldest first.

    Raises:
        StoreError: they can't be read.
    """
    return [_read(store.name, key, text) for key, text in store.calibrations().items()]


def find_calibration(
    method: str,
    question: Question,
    *,
    task: str = "",
    least: int = 1,
    right: bool | None = None,
    instead: str,
) -> Calibration | None:
    """The calibration of a method for the run's model and a question's task.

    Where there is none, or one of too few problems, this is said once, as a warning.

    Args:
        method: as in `with_examples`.
        question: whose task is meant.
        task: another one, whose calibration is used instead.
        least: of how many problems it must have examples.
        right: of which examples: any, right or wrong ones.
        instead: what is done without one, as a sentence goes on: `all samples are drawn`.

    Raises:
        StoreError: it can't be read.
    """
    scope = current()
    model, task = scope.model("solver"), task or question.task
    key, found = _key(model, task, method), None
    for store in (scope.store, scope.pool.calibrations):
        if store is not None and (text := store.calibration(key)) is not None:
            found = _read(store.name, key, text)
            if found.problems(right) >= least:
                return found
    has = "has no calibration"
    if found is not None:
        of = {None: "", True: "right answers to ", False: "wrong answers to "}[right]
        has = f"has a calibration of {of}{found.problems(right)} problems, and needs {least},"
    warned = _warned.setdefault(scope.pool, set())
    sentence = f"{method} {has} for {model} on {task or 'questions of no task'}; {instead}"
    if sentence not in warned:
        warned.add(sentence)
        _log.warning("%s. `weft eval calibrate` makes one of an evaluation's results", sentence)
    return None


def _key(model: str, task: str, method: str) -> str:
    return json.dumps([model, task, method])


@lru_cache(maxsize=64)
def _read(store: str, key: str, text: str) -> Calibration:
    try:
        model, task, method = json.loads(key)
        kept: dict[str, Any] = json.loads(text)
        examples = tuple(
            Example(problem, score, right, {s: (*each,) for s, each in beside.items()}, *levels)
            for problem, score, right, beside, *levels in kept["examples"]
        )
        return Calibration(model, task, method, examples, float(kept["at"]))
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"calibration {key} in store {store} can't be read; make it again by `weft eval "
            "calibrate`"
        ) from None
