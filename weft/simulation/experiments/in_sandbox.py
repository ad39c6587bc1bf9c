"""What runs in the sandbox for a proposed policy: it is found, simulated and told of.

The process has weft and the proposal, and nothing that is worth harming.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import pickle
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from weft.errors import UsageError, WeftError
from weft.orchestrator.policy import Policy, policies
from weft.simulation.experiments.experiment import Experiment, conduct
from weft.simulation.standstill import Standstill


def main() -> None:
    """Simulate, and print the word that was given with what came of it."""
    asked: dict[str, Any] = json.loads(sys.stdin.read())
    with open("plays.pickle", "rb") as file:
        plays: list[Experiment] = pickle.load(file)  # our own, see `proposed`
    try:
        found: dict[str, Any] = {"values": measured(policy_in("proposal"), plays, asked["sought"])}
    except WeftError as error:
        found = {"error": str(error)}
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.flush()
    os.write(1, f"\n{asked['word']}{json.dumps(found)}\n".encode())


def policy_in(module: str) -> Policy:
    """The policy that a module marks.

    Raises:
        UsageError: it marks none, or several.
    """
    importlib.import_module(module)
    found = [one for one in policies().values() if one.__module__ == module]
    if len(found) != 1:
        raise UsageError(f"it marks {len(found)} policies; mark just one class @policy(NAME)")
    return found[0]()


def measured(policy: Policy, plays: Sequence[Experiment], sought: str) -> list[float]:
    """The objective on each play.

    Raises:
        UsageError: the policy fails to decide, keeps calls waiting for ever, or programs fail.
    """
    values: list[float] = []
    for play in plays:
        try:
            (outcome,) = conduct(replace(play, policies=[policy], optimum=False), None)
        except Standstill as error:
            raise UsageError(str(error)) from None
        if failed := sum(outcome.counters.unanswered.values()):
            raise UsageError(f"it failed to make {failed} decisions")
        value = float(getattr(outcome.metrics, sought))
        if outcome.metrics.failed or not math.isfinite(value):
            raise UsageError(f"{outcome.metrics.failed} programs failed: {outcome.error}")
        values.append(value)
    return values
