"""Trials of an engine's settings: what came of each, and the file that keeps them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.errors import StoreError
from weft.evals.statistics import Difference, paired
from weft.evals.suites.suite import Suite

WORKLOAD = "workload.json"


@dataclass(frozen=True)
class EngineTrial:
    """What came of some settings.

    Attributes:
        settings: of the launch.
        part: of the problems: `search`, or `held out`.
        problems: how many were run.
        seconds: for all of them; infinite if it came to nothing.
        tokens: generated a second.
        right: of each problem whether it was answered rightly, in their order.
        error: why it came to nothing.
    """

    settings: dict[str, Any]
    part: str
    problems: int
    seconds: float = math.inf
    tokens: float = 0.0
    right: list[bool] = field(default_factory=list[bool])
    error: str = ""

    @property
    def rate(self) -> float:
        """Problems a second; 0 if it came to nothing."""
        return 0.0 if self.error else self.problems / self.seconds

    @property
    def key(self) -> tuple[str, str, int]:
        """What was measured."""
        return json.dumps(self.settings, sort_keys=True), self.part, self.problems


def compared(trial: EngineTrial, than: EngineTrial) -> Difference:
    """The difference in right answers, on the same problems."""
    return paired([float(r) for r in trial.right], [float(r) for r in than.right])


def read_trials(file: Path) -> list[EngineTrial]:
    """The measurements in a file; none if it is not there.

    Raises:
        StoreError: it can't be read.
    """
    if not file.exists():
        return []
    found: list[EngineTrial] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            raw = json.loads(line)
            seconds = math.inf if raw["seconds"] is None else raw["seconds"]
            found.append(EngineTrial(**raw | {"seconds": seconds}))
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{file}:{number} is no measurement; give another --out") from None
    return found


def check_workload(out: Path, suite: Suite, problems: int) -> None:
    """See that measurements in a folder are of this workload.

    Raises:
        StoreError: they are of another, or the folder can't be written.
    """
    same = {"problems": problems, **suite.model_dump(by_alias=True, exclude_defaults=True)}
    text = json.dumps(same, indent=2, sort_keys=True) + "\n"
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = out / WORKLOAD
        if file.exists() and file.read_text(encoding="utf-8") != text:
            raise StoreError(f"{out} has measurements of another workload; give another --out")
        file.write_text(text, encoding="utf-8")
    except OSError as e:
        raise StoreError(f"can't use {out}: {e.strerror}; give another --out") from None


def finite(seconds: float) -> float | None:
    """Seconds as JSON has them."""
    return seconds if math.isfinite(seconds) else None
