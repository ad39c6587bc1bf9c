"""Cost-of-pass: what a right answer costs, if one asks until there is one (Erol et al. 2025)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from weft.errors import UsageError
from weft.evals.records import Row
from weft.evals.results import Result
from weft.evals.statistics import mean


def cost_of_pass(costs: Sequence[float], scores: Sequence[float]) -> float:
    """The mean cost by the mean score; infinite if nothing was ever right.

    Args:
        costs: of each answer, in any unit.
        scores: of each answer, from 0 to 1.

    Raises:
        UsageError: there is no answer, or not as many costs as scores.
    """
    if not costs or len(costs) != len(scores):
        raise UsageError("cost_of_pass needs answers, and of each its cost and its score")
    right = math.fsum(scores)
    return math.fsum(costs) / right if right > 0 else math.inf


def frontier(
    methods: Mapping[str, Mapping[str, float]], price: float = math.inf
) -> dict[str, float]:
    """What each problem costs by the method that is cheapest for it.

    Args:
        methods: of each method, the cost-of-pass of problems.
        price: of having a problem solved in another way, by a person say.
    """
    problems = dict.fromkeys(problem for costs in methods.values() for problem in costs)
    return {
        problem: min([price, *(costs[problem] for costs in methods.values() if problem in costs)])
        for problem in problems
    }


def contribution(
    methods: Mapping[str, Mapping[str, float]], without: Iterable[str], price: float = math.inf
) -> float:
    """By what factor the frontier's mean would rise without some methods; infinite if it would.

    1 where they contribute nothing, which is also what is said where the frontier is infinite
    with them.

    Args:
        methods: of each method, the cost-of-pass of problems.
        without: which are left out.
        price: of having a problem solved in another way.
    """
    gone = set(without)
    problems = frontier(methods, price)
    rest = frontier({name: costs for name, costs in methods.items() if name not in gone}, price)
    now = mean([*problems.values()])
    return mean([rest.get(problem, price) for problem in problems]) / now if now < math.inf else 1.0


def problem_costs(
    result: Result, cost: Callable[[Row], float] = lambda row: row.usage.computed
) -> dict[str, float]:
    """What a right answer costs of each problem; infinite for those never solved.

    Args:
        result: of a method.
        cost: of an answer; the tokens that were computed for it unless given.
    """
    by: dict[str, tuple[list[float], list[float]]] = {}
    for row in result.rows:
        costs, scores = by.setdefault(row.id, ([], []))
        costs.append(cost(row))
        scores.append(bool(row.correct))
    return {id: cost_of_pass(costs, scores) for id, (costs, scores) in by.items()}
