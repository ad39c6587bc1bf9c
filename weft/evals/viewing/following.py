"""Following: what comes of an evaluation that runs, perhaps in another process, by its records."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from weft.evals.records import LOCK, ROWS, SETTINGS, Folder, Row
from weft.evals.records.folder import no_row
from weft.evals.records.lock import may_run
from weft.evals.records.row import RowKey
from weft.evals.viewing.why import outcome
from weft.types import Usage

_LATEST = 12
"""Rows that are remembered whole."""
_WINDOW = 60.0
"""Seconds over which the rate is taken."""


@dataclass(slots=True)
class Progress:
    """How far a strategy is.

    Attributes:
        total: how many samples it has; 0 until it has begun.
        outcomes: what each of its samples came to.
        usage: of all its rows.
    """

    total: int = 0
    outcomes: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    usage: Usage = field(default_factory=Usage)

    def count(self, word: str) -> int:
        """How many samples came to this."""
        return sum(o == word for o in self.outcomes.values())

    @property
    def done(self) -> int:
        """Samples with a result."""
        return len(self.outcomes) - self.count("error")


class Following:
    """Reads the rows that have come since it was last asked.

    Args:
        path: the folder; it may come to be an evaluation's later.

    Attributes:
        strategies: in the order in which they began.
        latest: the last rows, newest first.
        running: whether a process writes there now; None if that can't be told.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.strategies: dict[str, Progress] = {}
        self.latest: deque[Row] = deque(maxlen=_LATEST)
        self.running: bool | None = None
        self.title = ""
        self._at, self._file = 0, -1
        self._usages: dict[RowKey, Usage] = {}
        self._times: deque[float] = deque()

    def look(self) -> list[Row]:
        """Take in what is new; gives the new rows."""
        self._settings()
        new = self._new_rows()
        for row in new:
            self._add(row)
        self.running = self._is_running()
        return new

    def rate(self, now: float) -> float:
        """Samples a second in the last minute."""
        while self._times and self._times[0] < now - _WINDOW:
            self._times.popleft()
        if len(self._times) < 2:
            return 0.0
        return len(self._times) / max(now - self._times[0], 1.0)

    def left(self, now: float) -> float | None:
        """Seconds until the strategies that have begun are done; None if that can't be told."""
        todo = sum(max(0, p.total - p.done) for p in self.strategies.values())
        rate = self.rate(now)
        return todo / rate if rate and todo else None

    @property
    def usage(self) -> Usage:
        """What all rows have cost."""
        return sum((p.usage for p in self.strategies.values()), Usage())

    def _settings(self) -> None:
        if not (self.path / SETTINGS).exists():
            return
        settings, session = Folder(self.path).settings()
        self.title = f"{settings.task}, model {settings.model}, seed {settings.seed}"
        for strategy, total in session.samples.items():
            self.strategies.setdefault(strategy, Progress()).total = total

    def _new_rows(self) -> list[Row]:
        """Rows whose lines are whole; all again if the file was written anew."""
        found: list[Row] = []
        try:
            file = (self.path / ROWS).open("rb")
        except FileNotFoundError:
            return found
        with file:
            state = os.fstat(file.fileno())
            if state.st_ino != self._file or state.st_size < self._at:
                self._file, self._at = state.st_ino, 0
                for progress in self.strategies.values():
                    progress.outcomes, progress.usage = {}, Usage()
                self._usages.clear()
                self._times.clear()
                self.latest.clear()
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                try:
                    found.append(Row.read(line))
                except ValueError as e:
                    raise no_row(self.path / ROWS, line, f": {e}") from None
        return found

    def _add(self, row: Row) -> None:
        progress = self.strategies.setdefault(row.strategy, Progress())
        old = self._usages.get((row.strategy, row.key), Usage())
        self._usages[row.strategy, row.key] = row.usage
        progress.usage += row.usage - old
        progress.outcomes[row.key] = outcome(row)
        self.latest.appendleft(row)
        self._times.append(row.at)

    def _is_running(self) -> bool | None:
        """Whether the process may still run that wrote its number into the lock.

        The lock itself is let be: an evaluation that begins now must find it free.
        """
        try:
            return may_run((self.path / LOCK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
