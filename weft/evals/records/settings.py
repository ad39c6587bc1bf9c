"""Settings: what the rows of a folder have in common; Session: how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from weft.evals.tasks.task import identity


@dataclass(frozen=True, slots=True)
class Settings:
    """What the rows of a folder have in common; rows under other settings don't mix with them.

    Attributes:
        task: its spec.
        data: the task's fingerprint.
        model: that solves.
        server: the engines' specs.
        seed: of the samples and of sampling.
        budget: limits for one sample.
        roles: models for other roles than `solver`.
        sampling: further settings of sampling.
    """

    task: str
    data: str
    model: str
    seed: int
    budget: dict[str, float] = field(default_factory=dict[str, float])
    roles: dict[str, str] = field(default_factory=dict[str, str])
    sampling: dict[str, Any] = field(default_factory=dict[str, Any])
    server: list[str] = field(default_factory=list[str])

    @property
    def question(self) -> tuple[str, str]:
        """What is asked: the task and its data, wherever the data's file is."""
        return self.task.partition("(")[0] if self.data else self.task, self.data

    @property
    def asked(self) -> str:
        """The same as one text: the `task` of its questions."""
        return identity(self.task, self.data)


@dataclass(slots=True)
class Session:
    """What is known of how the rows came about; grows with every resume.

    Attributes:
        engines: their names.
        seconds: wall time spent on each strategy, over all sessions.
        command: of the last session.
        version: of weft in the last session.
        samples: how many each strategy has in all.
        joules: that this machine used during each strategy, over all sessions; without those
            for which it could not be read throughout.
        shape: of the model that solves, as a `ModelShape` has it; empty if it is not known.
        task: its whole spec.
        problems: how many different samples there are.
        folder: in which the last session began.
        suite: what it was to run.
        cells: of each strategy of a sweep, its settings.
    """

    engines: list[str] = field(default_factory=list[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    command: str = ""
    version: str = ""
    samples: dict[str, int] = field(default_factory=dict[str, int])
    joules: dict[str, float] = field(default_factory=dict[str, float])
    shape: dict[str, Any] = field(default_factory=dict[str, Any])
    task: str = ""
    problems: int = 0
    folder: str = ""
    suite: dict[str, Any] = field(default_factory=dict[str, Any])
    cells: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
