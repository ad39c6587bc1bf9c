"""What right answers cost by several models, and by people; how much others slowed calls down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weft.errors import UsageError
from weft.evals.costs.cost_of_pass import contribution, frontier, problem_costs
from weft.evals.costs.run_time import RunTime, contended, fit_run_time
from weft.evals.records import Folder, Row
from weft.evals.reports.section import ReportSection
from weft.evals.results import Result, read
from weft.evals.statistics import mean

PERSON = "a person"


@dataclass(frozen=True)
class Prices:
    """What tokens cost.

    Attributes:
        prompt: dollars of a million tokens of prompts.
        generated: dollars of a million generated tokens.
    """

    prompt: float
    generated: float

    def cost(self, row: Row) -> float:
        """What an answer costs, in dollars."""
        usage = row.usage
        return (usage.prompt * self.prompt + usage.generated * self.generated) / 1e6


def cost_frontier(
    folders: Sequence[Path], prices: Mapping[str, Prices], person: float = math.inf
) -> list[ReportSection]:
    """What a right answer costs by each model and strategy, and by the cheapest of all.

    Costs are dollars: by `prices`, or as engines told them. If there are none at all, they are
    computed tokens, which only compare methods of one model.

    Args:
        folders: evaluations of one task.
        prices: of models, by name.
        person: what it costs to have a problem solved by a person.

    Raises:
        StoreError: a folder holds no evaluation.
        UsageError: the folders are of several tasks, or some methods have a price and others none.
    """
    methods: dict[str, tuple[str, Result]] = {}
    questions: dict[tuple[str, str], Path] = {}
    for path in folders:
        evaluation = read(Folder(path))
        questions.setdefault(evaluation.settings.question, path)
        for result in evaluation.results:
            if result.n:
                name = f"{evaluation.settings.model}: {result.strategy}"
                methods[name] = evaluation.settings.model, result
    if len(questions) > 1:
        one, other = list(questions.values())[:2]
        raise UsageError(f"{one} and {other} are of different tasks; give folders of one task")
    if not methods:
        raise UsageError("these folders have no results yet")
    unknown = sorted(set(prices) - {model for model, _ in methods.values()})
    if unknown:
        raise UsageError(f"--price names {unknown[0]}, which no folder has as its model")
    priced = [m in prices or r.usage.dollars > 0 for m, r in methods.values()]
    if any(priced) and not all(priced):
        name = list(methods)[priced.index(False)]
        raise UsageError(f"{name} has no price; give --price MODEL=PROMPT:GENERATED for all models")
    if not any(priced) and (person < math.inf or len({m for m, _ in methods.values()}) > 1):
        raise UsageError(
            "several models, and people, are only compared in dollars; give --price "
            "MODEL=PROMPT:GENERATED, in dollars of a million tokens"
        )
    unit = "dollars" if all(priced) else "tokens"
    costs = {name: _costs(model, result, prices, unit) for name, (model, result) in methods.items()}
    every = [set(found) for found in costs.values()]
    common = {id for id in every[0] if all(id in one for one in every)}
    if not common:
        raise UsageError("these folders have no problem in common; run them with the same --seed")
    costs = {name: {id: found[id] for id in sorted(common)} for name, found in costs.items()}
    models = {name: model for name, (model, _) in methods.items()}
    return [_methods(costs, person, unit), *_contributions(costs, models, person, unit)]


def _costs(model: str, result: Result, prices: Mapping[str, Prices], unit: str) -> dict[str, float]:
    if unit == "tokens":
        return problem_costs(result)
    if (price := prices.get(model)) is not None:
        return problem_costs(result, price.cost)
    return problem_costs(result, lambda row: row.usage.dollars)


def _methods(costs: Mapping[str, Mapping[str, float]], person: float, unit: str) -> ReportSection:
    cheapest = frontier(costs, person)
    first = {name: 0 for name in costs} | ({PERSON: 0} if person < math.inf else {})
    for id, least in cheapest.items():
        winner = next((name for name, found in costs.items() if found[id] == least), PERSON)
        if least < math.inf:
            first[winner] += 1
    rows: list[list[str]] = []
    for name, found in costs.items():
        solved = [cost for cost in found.values() if cost < math.inf]
        share = f"{len(solved)} of {len(found)}"
        rows.append(
            [name, share, shown(mean(solved)) if solved else "", _mean(found), str(first[name])]
        )
    if person < math.inf:
        rows.append([PERSON, "all", shown(person), shown(person), str(first[PERSON])])
    rows.append(["the cheapest for each", "", "", _mean(cheapest), ""])
    return ReportSection(
        "Cost-of-pass",
        ("method", "solved", f"{unit} of the solved", f"{unit} of all", "cheapest for"),
        rows,
        "what a right answer costs, in the mean over problems (Erol et al. 2025); infinite where a "
        "problem was never solved; which method is cheapest is seen on the same answers, so the "
        "last row is a little too low",
    )


def _contributions(
    costs: Mapping[str, Mapping[str, float]], models: Mapping[str, str], person: float, unit: str
) -> list[ReportSection]:
    names = list(dict.fromkeys(models.values()))
    if len(names) < 2:
        return []
    rows = [
        [
            model,
            shown(contribution(costs, [name for name in costs if models[name] == model], person)),
        ]
        for model in names
    ]
    return [
        ReportSection(
            "Without a model",
            ("model", "times the cost"),
            rows,
            f"by what factor the {unit} of the cheapest for each would rise without the model; 1 "
            "is not at all, which also stands where the cost is infinite with it",
        )
    ]


def _mean(found: Mapping[str, float]) -> str:
    return shown(mean(list(found.values())))


def shown(value: float) -> str:
    """A number with three digits; infinity as what it is."""
    if value == math.inf:
        return "infinite"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def run_times(idle: Path, folders: Sequence[Path]) -> tuple[RunTime, ReportSection]:
    """What calls took, and what they would have taken on an idle engine.

    Args:
        idle: an evaluation of which calls ran one at a time.
        folders: other evaluations of the same model on engines like those.

    Raises:
        StoreError: a folder holds no evaluation.
        UsageError: the idle evaluation has too few calls, or the models differ.
    """
    base = Folder(idle)
    settings, _ = base.settings()
    line = fit_run_time(text for row in base.whole_rows() for text in row.texts)
    rows: list[list[str]] = []
    for path in folders:
        folder = Folder(path)
        other, _ = folder.settings()
        if other.model != settings.model:
            raise UsageError(
                f"{path} is of {other.model}, and {idle} of {settings.model}; a run time is of one "
                "model"
            )
        texts: dict[str, list[tuple[int, float, float]]] = {}
        for row in folder.whole_rows():
            texts.setdefault(row.strategy, []).append(contended(line, row.texts))
        for strategy, found in texts.items():
            calls, took, ideal = (math.fsum(part) for part in zip(*found, strict=True))
            if calls:
                ratio = shown(took / ideal) if ideal > 0 else ""
                cells = (f"{took / calls:.3g}", f"{ideal / calls:.3g}", ratio)
                rows.append([str(path), strategy, f"{calls:.0f}", *cells])
    return line, ReportSection(
        "Run times",
        ("evaluation", "strategy", "calls", "seconds a call", "idle", "times"),
        rows,
        f"idle: {line.call:.3g} s a call, {line.prompt:.3g} s a token of the prompt that is not "
        f"cached, {line.token:.3g} s a generated token, fitted to {line.calls} calls of {idle}; it "
        f"explains {100 * line.explained:.0f} % of their variance and is off by "
        f"{100 * line.off:.0f} % in the median",
    )
