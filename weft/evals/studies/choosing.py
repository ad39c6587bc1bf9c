"""Searches among choices: what is tried next, by what was found so far.

All searches are given the same number of trials, and a choice counts as a trial once. So what they
find can be compared.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft.extras import need

Space = Mapping[str, Sequence[Any]]
"""Of each thing to choose, the values it may have."""
Choice = Mapping[str, Any]
Value = Callable[[Choice], Awaitable[float]]
"""What a choice is worth: larger is better, and -inf is of no worth at all."""
_REPEATS = 20
"""How many times as many choices as trials are drawn, before a space counts as used up."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A choice that was tried, and what it was worth."""

    choice: Choice
    value: float


class Trying:
    """Measures choices, each once, until so many were tried.

    Args:
        value: measures one.
        trials: at most.
        key: what choices have in common that come to the same, and are one trial.
    """

    def __init__(
        self,
        value: Value,
        trials: int,
        key: Callable[[Choice], Hashable] = lambda choice: frozenset(choice.items()),
    ) -> None:
        self._value, self.trials, self._key = value, trials, key
        self.done: list[Tried] = []
        self._known: dict[Hashable, float] = {}

    @property
    def over(self) -> bool:
        """Whether no trial is left."""
        return len(self.done) >= self.trials

    async def value(self, choice: Choice) -> float:
        """What a choice is worth; -inf if there is no trial left for it."""
        key = self._key(choice)
        if key not in self._known:
            if self.over:
                return -math.inf
            found = await self._value(choice)
            self._known[key] = -math.inf if math.isnan(found) else found
            self.done.append(Tried(choice, self._known[key]))
        return self._known[key]


async def at_random(space: Space, trying: Trying, seed: int) -> None:
    """Choices drawn one by one, each value being as likely as the others."""
    rng = random.Random(seed)
    for _ in range(_REPEATS * trying.trials):
        if trying.over:
            return
        await trying.value({name: rng.choice(values) for name, values in space.items()})


async def greedy(space: Space, trying: Trying, seed: int) -> None:
    """One thing after another is changed to its best value, until nothing gets better.

    It begins with the first value of each.
    """
    best = {name: values[0] for name, values in space.items()}
    worth = await trying.value(best)
    better = True
    while better and not trying.over:
        better = False
        for name, values in space.items():
            for one in values:
                tried = {**best, name: one}
                if (found := await trying.value(tried)) > worth:
                    best, worth, better = tried, found, True


async def tpe(space: Space, trying: Trying, seed: int) -> None:
    """A tree-structured Parzen estimator (Bergstra et al. 2011), by Optuna.

    Raises:
        MissingExtra: Optuna is not installed.
    """
    need("simulate", "the search by tpe")
    import optuna  # takes half a second

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        start = max(1, trying.trials // 3)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=start)
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.enqueue_trial({name: 0 for name in space})
        for _ in range(_REPEATS * trying.trials):
            if trying.over:
                return
            trial = study.ask()
            # Optuna is told of places, since values may be of any kind.
            at = {
                name: trial.suggest_categorical(name, list(range(len(values))))
                for name, values in space.items()
            }
            found = await trying.value({name: space[name][i] for name, i in at.items()})
            study.tell(trial, max(found, -1e9))
    finally:
        optuna.logging.set_verbosity(before)


SEARCHES: Mapping[str, Callable[[Space, Trying, int], Awaitable[None]]] = {
    "tpe": tpe,
    "greedy": greedy,
    "random": at_random,
}
"""The searches, by name."""
