"""Showing how an evaluation goes: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from weft.evals.records import Row
from weft.evals.running.runner import EvaluationWatcher
from weft.types import Usage

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 3.0
"""Seconds between lines where there is no terminal."""


class StrategyProgress:
    """Counts of the strategy under way."""

    def __init__(self, strategy: str, total: int, kept: int, right: int) -> None:
        self.strategy, self.total, self.kept = strategy, total, kept
        self.done, self.correct, self.errors = kept, right, 0
        self.usage = Usage()
        self.engines = ""
        self._started = time.monotonic()

    def add(self, row: Row) -> None:
        """Count a row."""
        self.usage += row.usage
        if row.correct is None:
            self.errors += 1
            return
        self.done += 1
        self.correct += bool(row.correct)

    def tick(self, alive: int, engines: int) -> None:
        """Note how many engines are alive."""
        self.engines = f"{alive} engine{'s' * (alive != 1)}"
        if alive < engines:
            self.engines += f" of {engines} alive"

    @property
    def text(self) -> str:
        """What is known so far."""
        parts = [f"{100 * self.correct / self.done:.1f} % right"] if self.done else []
        seconds = time.monotonic() - self._started
        if self.usage.generated and seconds > 0.2:
            parts.append(f"{self.usage.generated / seconds:,.0f} tokens/s")
        if self.engines:
            parts.append(self.engines)
        if self.errors:
            parts.append(f"{self.errors} failed")
        if self.kept:
            parts.append(f"{self.kept} from before")
        return ", ".join(parts)


class Bars:
    """A live bar for each strategy, by rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
        )
        self._bar: TaskID | None = None
        self._meter: StrategyProgress | None = None

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Write a line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None:
        """A strategy begins."""
        self._meter = StrategyProgress(strategy, total, kept, right)
        self._bar = self._progress.add_task(
            strategy.replace("[", r"\["), total=total, completed=kept, text=self._meter.text
        )

    def row(self, row: Row) -> None:
        """A sample is done, or failed."""
        assert self._meter is not None
        assert self._bar is not None
        self._meter.add(row)
        self._progress.update(self._bar, completed=self._meter.done, text=self._meter.text)

    def end(self, strategy: str) -> None:
        """A strategy is done."""
        assert self._meter is not None
        assert self._bar is not None
        self._progress.update(self._bar, text=self._meter.text)
        self._progress.stop_task(self._bar)
        self._meter = self._bar = None

    def tick(self, alive: int, engines: int) -> None:
        """A second has gone by."""
        if self._meter is not None and self._bar is not None:
            self._meter.tick(alive, engines)
            self._progress.update(self._bar, text=self._meter.text)


class Lines:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._meter: StrategyProgress | None = None
        self._last = 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Write a line."""
        self._write(text)

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None:
        """A strategy begins."""
        self._meter = StrategyProgress(strategy, total, kept, right)
        self._last = time.monotonic()

    def row(self, row: Row) -> None:
        """A sample is done, or failed."""
        assert self._meter is not None
        self._meter.add(row)

    def end(self, strategy: str) -> None:
        """A strategy is done."""
        self._line()
        self._meter = None

    def tick(self, alive: int, engines: int) -> None:
        """A second has gone by."""
        if self._meter is not None:
            self._meter.tick(alive, engines)
            if time.monotonic() - self._last >= EVERY:
                self._line()

    def _line(self) -> None:
        assert self._meter is not None
        m = self._meter
        self._last = time.monotonic()
        self._write(f"{m.strategy}: {m.done}/{m.total}, {m.text}".rstrip(", "))


def shown(terminal: bool, write: Callable[[str], None]) -> Bars | Lines:
    """Bars on a terminal, lines elsewhere."""
    view: Bars | Lines = Bars() if terminal else Lines(write)
    _: EvaluationWatcher = view  # both must be watchers
    return view
