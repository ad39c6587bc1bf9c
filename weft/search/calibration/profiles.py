"""Profiles: how likely each strategy is right, by what a question demands.

Levels of demands by dimension predict success on questions that were not seen (General Scales,
Zhou et al. 2025). Here each strategy of a model has a profile of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from weft.search.calibration.isotonic import auc
from weft.search.calibration.kept import Example
from weft.search.calibration.logistic import Logistic, fit_logistic

_BINS = 5


@dataclass(frozen=True)
class StrategyProfile:
    """What is expected of a strategy.

    Attributes:
        right: how likely it is right, by levels.
        tokens: that it costs, in the mean.
    """

    right: Logistic
    tokens: float


@dataclass(frozen=True)
class HeldOutProfile:
    """How good a profile is on problems that it was not fitted to.

    Attributes:
        strategy: its spec.
        n: of how many questions.
        right: the share that the strategy answers rightly.
        tokens: that it costs.
        auc: with what probability a question that it answers rightly had the larger prediction;
            0.5 tells nothing.
        brier: the mean squared error of predictions; that of the mere share is `base`.
        base: `right * (1 - right)`.
        off: by how much predictions are off in the mean: the expected calibration error over five
            groups of equal size.
    """

    strategy: str
    n: int
    right: float
    tokens: float
    auc: float
    brier: float
    base: float
    off: float


Profiles = Mapping[str, StrategyProfile]
Kept = Callable[[str], bool]


def fit_profiles(examples: Sequence[Example], wanted: Kept = lambda spec: True) -> Profiles:
    """The profile of each strategy that answered at least half of the questions.

    Args:
        examples: of each question its levels, and what came of it by the strategies.
        wanted: which strategies.
    """
    found: dict[str, StrategyProfile] = {}
    for spec in sorted({spec for one in examples for spec in one.beside if wanted(spec)}):
        given = [(one.levels, *one.beside[spec]) for one in examples if spec in one.beside]
        if 2 * len(given) >= len(examples):
            fit = fit_logistic([(levels, right) for levels, right, _ in given])
            found[spec] = StrategyProfile(fit, fmean(tokens for *_, tokens in given))
    return found


def cheapest(profiles: Profiles, levels: Mapping[str, float], sure: float) -> str:
    """The cheapest strategy that is right with such a probability; else the likeliest one.

    Args:
        profiles: of at least one strategy.
        levels: what the question demands.
        sure: the probability.
    """
    chances = {spec: one.right(levels) for spec, one in profiles.items()}
    enough = [spec for spec, chance in chances.items() if chance >= sure]
    if enough:
        return min(enough, key=lambda spec: (profiles[spec].tokens, -chances[spec]))
    return max(chances, key=lambda spec: (chances[spec], -profiles[spec].tokens))


def held_out_profiles(examples: Sequence[Example]) -> list[HeldOutProfile]:
    """How good profiles are, each fitted to one half of the problems and tried on the other."""
    guesses: dict[str, list[tuple[float, bool, float]]] = {}
    for profiles, others in _halves(examples):
        for one in others:
            for spec, (right, tokens) in one.beside.items():
                if spec in profiles:
                    made = profiles[spec].right(one.levels), right, tokens
                    guesses.setdefault(spec, []).append(made)
    return [_told(spec, made) for spec, made in sorted(guesses.items())]


def held_out_choice(examples: Sequence[Example], sure: float) -> tuple[float, float]:
    """What the cheapest that is sure enough comes to, on the half that it was not fitted to.

    Returns:
        the share of right answers, and the tokens of a question.
    """
    found: list[tuple[bool, float]] = []
    for profiles, others in _halves(examples):
        for one in others:
            known = {spec: profile for spec, profile in profiles.items() if spec in one.beside}
            if known:
                found.append(one.beside[cheapest(known, one.levels, sure)])
    return (fmean(r for r, _ in found), fmean(t for _, t in found)) if found else (0.0, 0.0)


def _halves(examples: Sequence[Example]) -> list[tuple[Profiles, list[Example]]]:
    """Profiles of each half of the problems, and the other half."""
    problems = list(dict.fromkeys(one.problem for one in examples))
    random.Random(0).shuffle(problems)  # tasks may have their levels in turn
    first = set(problems[::2])
    halves = [[e for e in examples if (e.problem in first) == here] for here in (True, False)]
    pairs = (halves, halves[::-1])
    return [(fit_profiles(half), other) for half, other in pairs if half and other]


def _told(spec: str, made: Sequence[tuple[float, bool, float]]) -> HeldOutProfile:
    share = fmean(right for _, right, _ in made)
    ranked, off = sorted(made, key=lambda one: one[0]), 0.0
    for at in range(_BINS):
        part = ranked[at * len(made) // _BINS : (at + 1) * len(made) // _BINS]
        if part:
            gap = fmean(chance for chance, *_ in part) - fmean(right for _, right, _ in part)
            off += abs(gap) * len(part) / len(made)
    return HeldOutProfile(
        spec,
        len(made),
        share,
        fmean(tokens for *_, tokens in made),
        auc([c for c, right, _ in made if right], [c for c, right, _ in made if not right]),
        fmean((chance - right) ** 2 for chance, right, _ in made),
        share * (1 - share),
        off,
    )
