"""assign: which model does which operator of a workflow, by cost and time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from weft.errors import UsageError
from weft.programs.workflows.bounds import AssignmentProblem, best_of, greedy


class OperatorCost(NamedTuple):
    """What an operator takes on a model.

    Attributes:
        seconds: from its start to its end.
        dollars: that it costs.
    """

    seconds: float
    dollars: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which model does which operator.

    Attributes:
        models: of each operator.
        seconds: along the critical path, if all operators run.
        dollars: of all operators, each by the chance that it runs.
        exact: whether no other assignment is better. Otherwise it is the best that was found.
    """

    models: dict[str, str]
    seconds: float
    dollars: float
    exact: bool


def assign(
    needs: Mapping[str, Iterable[str]],
    offers: Mapping[str, Mapping[str, OperatorCost | tuple[float, float]]],
    *,
    deadline: float | None = None,
    dollars: float | None = None,
    chances: Mapping[str, float] | None = None,
    most: int = 100_000,
) -> Assignment:
    """Choose a model for each operator.

        found = assign(answer.needs, offers, deadline=20)
        quick = answer.on(found)

    With a `deadline` it is the cheapest assignment that ends in time; with a limit of `dollars`
    alone it is the quickest that costs no more; without either it is the cheapest. Of equally
    good ones it is the quickest, or the cheapest. Small graphs are solved exactly, by branch and
    bound from a greedy assignment on. Of large graphs the best assignment is taken that is found
    within `most` steps: the problem is NP-hard (the discrete time-cost tradeoff: De et al., 1997).

    Args:
        needs: of each operator those that it needs, such as `Workflow.needs`.
        offers: of each operator and model, seconds and dollars.
        deadline: seconds within which the workflow should end.
        dollars: that a run may cost.
        chances: of operators that do not always run, how likely they run; 1 otherwise.
        most: steps of the search.

    Raises:
        UsageError: a limit can't be kept; an operator has no offers or is unknown; a number is
            negative or none; or operators need each other in a circle.
    """
    problem = _problem(needs, offers, chances or {})
    least, quick = problem.cheapest(), problem.quickest()
    for limit, name, best, verb in (
        (deadline, "deadline", quick[0], "takes"),
        (dollars, "dollars", least[1], "costs"),
    ):
        if limit is not None and not limit >= best:
            raise UsageError(
                f"{name}={limit:g} can't be kept: the best assignment {verb} {best:g}; raise it, "
                "or offer another model"
            )
    first = greedy(problem, deadline, dollars)
    chosen, exact = best_of(problem, first, deadline, dollars, most)
    if chosen is None:  # each limit can be kept alone
        raise UsageError(
            f"no assignment was found with deadline={deadline} and dollars={dollars}; raise one"
        )
    seconds, cost = problem.measure(chosen)
    models = {name: problem.models[at][chosen[at]] for at, name in enumerate(problem.names)}
    return Assignment(models, seconds, cost, exact)


def _problem(
    needs: Mapping[str, Iterable[str]],
    offers: Mapping[str, Mapping[str, OperatorCost | tuple[float, float]]],
    chances: Mapping[str, float],
) -> AssignmentProblem:
    graph = {name: list(before) for name, before in needs.items()}
    for kind, named in (
        ("needs", [one for before in graph.values() for one in before]),
        ("offers", offers),
        ("chances", chances),
    ):
        for one in named:
            if one not in graph:
                raise UsageError(f"{kind} name {one!r}, which is no operator of the workflow")
    try:
        names = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        raise UsageError(f"operators need each other in a circle: {circle}") from None
    place = {name: at for at, name in enumerate(names)}
    seconds: list[list[float]] = []
    dollars: list[list[float]] = []
    for name in names:
        if not offers.get(name):
            raise UsageError(f"operator {name} has no offers; say what a model takes for it")
        chance = chances.get(name, 1.0)
        own = list(offers[name].values())
        for number in (chance, *(n for offer in own for n in offer)):
            if not 0 <= number < math.inf:
                raise UsageError(f"{number!r} of operator {name} must be a number of at least 0")
        seconds.append([offer[0] for offer in own])
        dollars.append([chance * offer[1] for offer in own])
    before = [[place[one] for one in graph[name]] for name in names]
    return AssignmentProblem(
        names, [list(offers[name]) for name in names], before, seconds, dollars
    )
