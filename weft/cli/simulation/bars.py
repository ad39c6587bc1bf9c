"""A bar for work that is counted: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Any

from weft.cli.common import stderr

EVERY = 3.0
"""Seconds between lines where there is no terminal."""


class Bar:
    """Counts what is done, for the time of the block."""

    def __init__(self) -> None:
        self._console = stderr()
        self._live: Any = None
        self._task: Any = None
        self._name, self._total, self._done, self._said = "", None, 0, 0.0

    def __enter__(self) -> Bar:
        if self._console.is_terminal:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            self._live = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[text]}", markup=False),
                console=self._console,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, name: str, total: int | None) -> None:
        """Something new is counted; the total may be unknown."""
        self._name, self._total, self._done, self._said = name, total, 0, time.monotonic()
        if self._live is not None:
            self._task = self._live.add_task(name, total=total, text="")

    def step(self, text: str = "") -> None:
        """One more is done."""
        self._done += 1
        if self._live is not None:
            self._live.update(self._task, advance=1, text=text)
        elif time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            of = f"/{self._total}" if self._total is not None else ""
            line = f"{self._name}: {self._done}{of}" + (f", {text}" if text else "")
            self._console.print(line, markup=False)

    def end(self) -> None:
        """All of it is done."""
        if self._live is not None:
            self._live.update(self._task, total=self._done)
            self._live.stop_task(self._task)
