"""How often a report claims what is not so, in simulated suites in which nothing is so.

    python benchmarks/false_alarms.py [SUITES]

In each suite ten strategies are equally good, or the cheaper ones just so much worse that they do
not count as reaching the others. Every yes or no of the report is then a false alarm. The stated
level is 5 % for all claims of a report together, and half of that for claims that one reaches.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass

from weft.evals.records import Row, Session, Settings
from weft.evals.reports.comparisons import MARGIN
from weft.evals.reports.findings import judged
from weft.evals.results import Evaluation, gather
from weft.evals.statistics.differences import LEVEL
from weft.evals.statistics.plain import NORMAL
from weft.evals.suites.grid import cells
from weft.types import Usage

STRATEGIES = (
    *("greedy", "best_of_n(n=4)", "best_of_n(n=16)", "majority(n=4)", "majority(n=8)"),
    *("majority(n=16)", "astar(k=2)", "astar(k=4)", "first_finish(n=2)", "first_finish(n=4)"),
)
SETTINGS = Settings("simulated", "", "m", 0)
CELLS = cells(["majority"], {"temperature": [0.4, 0.8, 1], "top_p": [1, 0.9], "n": [8, 9]})


@dataclass(frozen=True)
class Setting:
    """A kind of suite.

    Attributes:
        problems: how many.
        alike: problems of one cluster, which are equally difficult.
        worse: how much less accurate A* is than the others, at half the tokens.
        level: at most this share of reports may claim anything that is wrong.
        sweep: whether the strategies are the cells of a sweep.
    """

    problems: int = 100
    alike: int = 1
    worse: float = 0.0
    level: float = LEVEL
    sweep: bool = False


SETTINGS_BY_NAME = {
    "ten equal strategies": Setting(),
    "20 problems": Setting(problems=20),
    "clusters of 5": Setting(alike=5),
    "a sweep of twelve equal cells": Setting(sweep=True),
    "2 points worse at half the tokens": Setting(400, worse=MARGIN, level=LEVEL / 2),
}


def suite(setting: Setting, seed: int) -> Evaluation:
    """A suite of strategies that differ by chance, and as the setting says."""
    chance = random.Random(seed)
    rows: list[Row] = []
    for i in range(setting.problems):
        if i % setting.alike == 0:
            ease = 0.05 + 0.9 * chance.betavariate(0.8, 0.8)
        cluster = str(i // setting.alike) if setting.alike > 1 else ""
        for spec in CELLS if setting.sweep else STRATEGIES:
            lower = setting.worse if spec.startswith("astar") else 0.0
            tokens = round(chance.lognormvariate(5, 0.5) * (0.5 if lower else 1))
            right = chance.random() < ease - lower
            rows.append(
                Row(spec, str(i), right, "x", usage=Usage(1, 0, 0, tokens), cluster=cluster)
            )
    return gather(SETTINGS, Session(cells=CELLS if setting.sweep else {}), rows)


def claims(setting: Setting, evaluation: Evaluation) -> int:
    """How many wrong claims the report makes."""
    report = judged(evaluation)
    if setting.worse:
        return sum(f.verdict == "yes" and "fewer tokens?" in f.question for f in report.findings)
    verdicts = [f.verdict for f in report.findings] + [d.verdict for d in report.differences]
    changes = [report.family.corrected(one.key) for one in report.effects if one.alike]
    return sum(v != "can't tell" for v in verdicts) + sum(p <= LEVEL for p in changes)


def most(suites: int, level: float, chance: float = 1e-4) -> float:
    """False alarms that a true rate of `level` exceeds only with this chance."""
    return suites * level - NORMAL.inv_cdf(chance) * (suites * level * (1 - level)) ** 0.5


def main(suites: int) -> None:
    """Print the share of suites with a false alarm, for each setting."""
    print(f"{'setting':36}{'suites':>8}{'false alarms':>14}{'at most':>9}")
    for name, setting in SETTINGS_BY_NAME.items():
        wrong = sum(claims(setting, suite(setting, seed)) > 0 for seed in range(suites))
        print(f"{name:36}{suites:>8}{wrong / suites:>14.1%}{setting.level:>9.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
