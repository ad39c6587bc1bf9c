"""Policies proposed as code: checked, measured in the sandbox, decided on what was not seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from weft.backends.simulated.hardware import find_hardware
from weft.errors import StoreError, UsageError
from weft.evals.studies.policy_proposals import code_of
from weft.orchestrator.policy import parse_policy
from weft.sandbox import check_sandbox
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.experiments.experiment import Experiment
from weft.simulation.experiments.in_sandbox import measured
from weft.simulation.experiments.proposed import PolicySearch, check_code, sandboxed, whole
from weft.simulation.simulate import SimulatedFleet
from weft.simulation.workloads import open_workload


def has_sandbox() -> bool:
    try:
        check_sandbox()
    except UsageError:
        return False
    return True


FEWEST = '''
from weft.orchestrator import Placement, Policy, policy
from weft.orchestrator.policies.parts import best


@policy("proposed_fewest")
class Fewest(Policy):
    """The engine with the fewest calls."""

    def place(self, call, view):
        return Placement(best(call, view, lambda engine: engine.in_flight), "the fewest calls")
'''


def play(seed: int) -> Experiment:
    work = open_workload("best_of_n(n=3)", block_size=64, seed=seed)
    fleet = SimulatedFleet(2, find_hardware("h100"), kv_tokens=60_000)
    return Experiment(work, fleet, [], [parse_arrivals("closed(n=3)")], seed, optimum=False)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os", "imports os"),
        ("from weft.store import Store", "imports weft.store"),
        ("from . import x", r"imports \."),
        ("open('x')", "names open"),
        ("().__class__", "names __class__"),
        ("def (", "no Python"),
    ],
)
def test_a_proposal_names_only_what_a_policy_needs(code: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_code(code)


def test_a_proposal_of_a_model_is_its_last_block() -> None:
    check_code(FEWEST)
    said = f"First\n```python\nx\n```\nBetter:\n```py\n{FEWEST}```\nDone."
    assert code_of(said) == FEWEST.strip()
    assert code_of("x = 1") == "x = 1"


@pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap")
def test_in_the_sandbox_the_figures_are_the_simulators() -> None:
    plays = [whole(play(0)), whole(play(1))]
    direct = measured(parse_policy("fcfs"), plays, "mean")
    assert len(direct) == 2
    code = FEWEST.replace("best(call, view, lambda engine: engine.in_flight)", "view.engines[0]")
    there = sandboxed("one", code, plays, "mean")
    again = sandboxed("one", code, plays, "mean")
    assert there == again
    assert all(mine > 0 for mine in there)
    for wrong, words in (
        (FEWEST.replace("return Placement", "raise ValueError"), "failed to make [0-9]+ decisions"),
        (FEWEST.replace("best(", "nothing("), "failed to make"),
        ("x = 1 / 0", "ZeroDivisionError"),
        ("x = 1", "marks 0 policies"),
    ):
        with pytest.raises(UsageError, match=words):
            sandboxed("wrong", wrong, plays[:1], "mean")


def test_what_is_best_where_the_search_looks_is_decided_elsewhere(tmp_path: Path) -> None:
    """One proposal learned the seen draws by heart; the other one is better in truth."""
    figures = {"given": (10.0, 10.0), "by heart": (5.0, 12.0), "good": (8.0, 8.0)}
    asked: list[str] = []

    def measure(name: str, code: str, plays: Sequence[Experiment]) -> list[float]:
        asked.append(name)
        if code == "broken":
            raise UsageError("it failed to make 3 decisions")
        held = len(plays) == 3
        return [figures[name][held] + 0.1 * i for i in range(len(plays))]

    file = tmp_path / "m.jsonl"
    search = PolicySearch([play(0)], [play(i) for i in (1, 2, 3)], "mean", file, measure)
    given = search.decided(search.tried("given", ""))
    tried = [search.tried(name, name) for name in ("by heart", "good")]
    broken = search.tried("broken", "broken")
    ranked = search.order([*tried, broken])
    assert [one.name for one in ranked] == ["by heart", "good"]
    decided = [search.decided(one) for one in ranked]
    assert search.gain(decided[0], given, held=False) == pytest.approx(0.5)
    assert search.gain(decided[0], given, held=True) == pytest.approx(1 - 12.1 / 10.1)
    assert [search.wins(one, given) for one in decided] == [0, 3]
    assert search.decided(broken).error == "it failed to make 3 decisions"

    again = PolicySearch([play(0)], [play(i) for i in (1, 2, 3)], "mean", file, measure)
    count = len(asked)
    assert again.decided(again.tried("good", "good")) == decided[1]
    assert again.tried("broken", "broken").error == broken.error
    assert len(asked) == count  # nothing is measured twice
    other = PolicySearch([replace(play(0), seed=7)], [], "mean", file, measure)
    other.tried("good", "good")
    assert len(asked) == count + 1
    file.write_text(json.dumps({"key": 1}) + "\n")
    with pytest.raises(StoreError, match=r"m\.jsonl:1"):
        PolicySearch([], [], "mean", file, measure)
