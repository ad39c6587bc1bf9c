"""Tuning: a policy's parameters, searched by simulation.

The idea of trying scheduling parameters by replaying recent traces is HexGen-Text2SQL's
(2025); the search is a tree-structured Parzen estimator (Bergstra et al. 2011) by Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from weft.errors import UnknownName, UsageError
from weft.orchestrator.policy import Policy
from weft.parts.parameters import Parameter

Objective = Literal["mean", "p99", "goodput"]
OBJECTIVES: tuple[Objective, ...] = ("mean", "p99", "goodput")
"""What may be sought: the least mean or p99 completion time, or the most goodput."""
_FACTOR = 8.0  # around the default, where a parameter has no bound


@dataclass(frozen=True, slots=True)
class Trial:
    """A policy that was tried.

    Attributes:
        number: from 0 on.
        policy: what was tried.
        value: of the objective.
        best: whether no earlier trial was as good.
    """

    number: int
    policy: Policy
    value: float
    best: bool


def tune(
    policy: Policy,
    measure: Callable[[Policy], float],
    *,
    trials: int = 40,
    largest: bool = False,
    seed: int = 0,
    on_trial: Callable[[Trial], None] = lambda _: None,
) -> list[Trial]:
    """Search the parameters of a policy; the last trial with `best` is the one to take.

    The policy as given is the first trial, so what is found is never worse by `measure`.
    Numbers are tried with 3 digits, between their bounds; where one is missing, within a factor
    of 8 around the default, on a logarithmic scale.

    Args:
        policy: where to begin.
        measure: the objective, of a simulation; NaN counts as the worst.
        trials: how many, the first included; a policy tried before is not measured again.
        largest: whether the largest value is sought, rather than the smallest.
        seed: of the search; the same one tries the same policies.
        on_trial: told of every trial.

    Raises:
        UsageError: the policy has no parameters to search, or `trials` is not above 0.
    """
    import optuna  # takes half a second

    if trials < 1:
        raise UsageError(f"trials={trials} must be at least 1")
    ranges = {p.name: r for p in policy.parameters() if (r := _range(p, getattr(policy, p.name)))}
    if not ranges:
        raise UsageError(f"policy {policy.name} has no parameters to tune")
    worst = -math.inf if largest else math.inf
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed),
            direction="maximize" if largest else "minimize",
        )
        study.enqueue_trial({name: getattr(policy, name) for name in ranges})
        known: dict[Policy, float] = {}
        done: list[Trial] = []
        best = worst
        for number in range(trials):
            trial = study.ask()
            values = {name: among.suggest(trial, name) for name, among in ranges.items()}
            # The first is the policy as given, to its last digit.
            tried: Policy = replace(cast(Any, policy), **values) if number else policy
            value = known.get(tried)
            if value is None:
                value = measure(tried)
                value = known[tried] = worst if math.isnan(value) else value
            study.tell(trial, value)
            better = not done or (value > best if largest else value < best)
            best = value if better else best
            done.append(Trial(number, tried, value, better))
            on_trial(done[-1])
    finally:
        optuna.logging.set_verbosity(verbosity)
    return done


@dataclass(frozen=True, slots=True)
class _Range:
    """Where a parameter is searched: among choices, or between numbers."""

    kind: type
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: Any, name: str) -> Any:
        """A value for a trial."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        if self.kind is int:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        value = float(f"{trial.suggest_float(name, self.low, self.high, log=self.log):.3g}")
        return min(max(value, self.low), self.high)


def _range(p: Parameter, value: Any) -> _Range | None:
    """Where a parameter is searched; None if it is not."""
    if isinstance(value, bool):
        return _Range(bool, choices=(False, True))
    if p.choices:
        return _Range(str, choices=p.choices)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    kind, middle = type(value), p.default if math.isfinite(p.default) else value
    low, high = p.least if p.least is not None else p.above, p.most
    bounded = low is not None and high is not None
    if not bounded:
        # Zero has no factor around it.
        around = (middle / _FACTOR, middle * _FACTOR) if middle else (-_FACTOR, _FACTOR)
        low = max(min(around), -math.inf if low is None else low)
        high = min(max(around), math.inf if high is None else high)
    assert low is not None
    assert high is not None
    if p.above is not None:
        # This bound itself is not allowed.
        low = max(low, p.above + (1 if kind is int else 1e-3 * (high - p.above)))
    if kind is int:
        low, high = math.ceil(low), math.floor(high)
    low, high = min(low, value), max(high, value)
    return _Range(kind, low, high, log=not bounded and low > 0)


def objective(name: str) -> Objective:
    """An objective by its name.

    Raises:
        UnknownName: there is no such objective.
    """
    for known in OBJECTIVES:
        if known == name:
            return known
    raise UnknownName("objective", name, OBJECTIVES)
