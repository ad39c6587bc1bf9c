"""The folder of a simulation: what was simulated, and what came of it by policy and load.

    DIR/simulation.json          what was simulated
    DIR/speed.json               how long that took: the only file that depends on the machine
    DIR/completion.svg           completion time over load, if there are several
    DIR/POLICY/LOAD/jobs.jsonl, calls.jsonl, decisions.jsonl, metrics.json, timeline.svg

Numbers have 12 digits. The same simulation gives the same bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, cast

from weft.errors import ConfigError, UsageError
from weft.orchestrator.decisions.decision_log import DECISIONS, DecisionLog
from weft.simulation.play import Play
from weft.simulation.records import JobRecord, PlayedCall

SIMULATION, SPEED, COMPLETION = "simulation.json", "speed.json", "completion.svg"
JOBS, CALLS, METRICS, TIMELINE = "jobs.jsonl", "calls.jsonl", "metrics.json", "timeline.svg"

R = TypeVar("R", PlayedCall, JobRecord)


class RunFolder:
    """What came of one policy under one load.

    Args:
        path: the folder; `write` makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.decisions = DecisionLog(path / DECISIONS)

    def write(self, played: Play, metrics: Mapping[str, Any]) -> None:
        """Write what became of jobs and calls, and the figures."""
        _write_lines(self.path / JOBS, played.jobs)
        _write_lines(self.path / CALLS, played.calls)
        write_json(self.path / METRICS, metrics)

    def jobs(self) -> Iterator[JobRecord]:
        """What became of the jobs, in the order of their ends.

        Raises:
            ConfigError: the file can't be read, or is damaged.
        """
        return _read_lines(self.path / JOBS, JobRecord)

    def calls(self) -> Iterator[PlayedCall]:
        """What became of the calls, in the order of their ends; errors as for `jobs`."""
        return _read_lines(self.path / CALLS, PlayedCall)

    def metrics(self) -> dict[str, Any]:
        """The figures; errors as for `jobs`."""
        return read_json(self.path / METRICS)


class SimulationFolder:
    """What was simulated, and the runs of it.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls, path: Path, what: Mapping[str, Any], runs: Iterable[tuple[str, str]]
    ) -> SimulationFolder:
        """Make the folder; the runs of a simulation that it holds already are removed.

        Args:
            path: where.
            what: what is simulated, as plain data.
            runs: policy and arrivals of each run to come, as specs.

        Raises:
            ConfigError: the folder can't be used.
        """
        folder = cls(path)
        taken: set[str] = set()
        planned: list[dict[str, str]] = []
        for policy, arrivals in runs:
            name = stem = f"{_slug(policy)}/{_slug(arrivals)}"
            while name in taken:
                name = f"{stem}-{len(taken)}"
            taken.add(name)
            planned.append({"policy": policy, "arrivals": arrivals, "folder": name})
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / SIMULATION).exists():
                folder._clear()
            for run in planned:
                (path / run["folder"]).mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(f"can't use {path}: {e.strerror}; name another folder") from None
        write_json(path / SIMULATION, {**what, "runs": planned})
        return folder

    @property
    def what(self) -> dict[str, Any]:
        """What was simulated.

        Raises:
            ConfigError: the folder holds no simulation.
        """
        if not (self.path / SIMULATION).is_file():
            raise ConfigError(f"{self.path} holds no simulation; make one with weft simulate --out")
        return read_json(self.path / SIMULATION)

    def run(self, policy: str, arrivals: str) -> RunFolder:
        """The run of a policy under a load, by their specs.

        Raises:
            UsageError: there is none.
        """
        for known in self.what["runs"]:
            if (known["policy"], known["arrivals"]) == (policy, arrivals):
                return RunFolder(self.path / known["folder"])
        raise UsageError(f"{self.path} has no run of {policy} under {arrivals}")

    def runs(self) -> dict[tuple[str, str], RunFolder]:
        """The finished runs by policy and arrivals."""
        folders = {
            (run["policy"], run["arrivals"]): RunFolder(self.path / run["folder"])
            for run in self.what["runs"]
        }
        return {key: run for key, run in folders.items() if (run.path / METRICS).is_file()}

    def _clear(self) -> None:
        for name in (SPEED, COMPLETION):
            (self.path / name).unlink(missing_ok=True)
        for run in self.what["runs"]:
            folder = self.path / run["folder"]
            for name in (JOBS, CALLS, DECISIONS, METRICS, TIMELINE):
                (folder / name).unlink(missing_ok=True)
            for empty in (folder, folder.parent):
                with suppress(OSError):  # it is not there, or holds something else
                    empty.rmdir()


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write plain data as JSON for people."""
    path.write_text(json.dumps(_plain(data), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """An object of JSON in a file.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    except OSError as e:
        raise ConfigError(f"can't read {path}: {e.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path} is not JSON; run what wrote it again") from None


def _write_lines(path: Path, records: Iterable[PlayedCall] | Iterable[JobRecord]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(_plain(asdict(record)), allow_nan=False) + "\n")


def _read_lines(path: Path, kind: type[R]) -> Iterator[R]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield kind(**json.loads(line))
                except (ValueError, TypeError):
                    raise ConfigError(
                        f"{path}:{number}: not a record; run what wrote it again"
                    ) from None
    except OSError as e:
        raise ConfigError(f"can't read {path}: {e.strerror}") from None


def _plain(value: Any) -> Any:
    """Data that JSON can hold: numbers rounded, null for those that are none."""
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in cast("list[Any]", value)]
    return value


def _slug(spec: str) -> str:
    """A spec as the name of a folder: `cap(k=8)` is `cap-k=8`."""
    return re.sub(r"[^\w.=+-]+", "-", spec).strip("-.")
