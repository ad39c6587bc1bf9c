"""The folder of an evaluation: its settings, and one row for each strategy and sample."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from weft.errors import StoreError
from weft.evals.lock import locked, may_run, named
from weft.evals.tasks.task import identity
from weft.types import Usage

SETTINGS, ROWS, RESULTS, REPORT, STORE, LOCK = (
    "settings.json",
    "samples.jsonl",
    "run.json",
    "report.html",
    "store.sqlite",
    ".lock",
)
_HOLDER = 300  # characters of who writes into a folder


@dataclass(frozen=True, slots=True)
class Row:
    """What one strategy made of one sample; a line of `samples.jsonl`.

    Attributes:
        strategy: the canonical spec.
        id: of the sample.
        correct: None if there was an error; False also if engines refused the sample.
        answer: the answer's canonical form, None if there was none.
        score: the strategy's own score of its answer.
        details: what the strategy says of how it went.
        usage: calls and tokens.
        seconds: from start to answer, the wait for an engine included.
        error: why there is no result; such a row is run again at a resume.
        cluster: of the sample; empty if it is its own.
        credit: how much the answer is worth, from 0 to 1; 1 if it is right.
        text: the whole text that the answer was read from, without thinking.
        repeat: how many times the strategy had been asked the sample before.
        drawn: among how many whole texts the strategy chose; 0 if it did not draw all of them, or
            does not say.
        right: how many of these are right.
    """

    strategy: str
    id: str
    correct: bool | None
    answer: str | None = None
    score: float | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    error: str | None = None
    text: str | None = None
    credit: float | None = None
    cluster: str = ""
    repeat: int = 0
    drawn: int = 0
    right: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """What rows of several strategies have in common that are compared."""
        return self.id, self.repeat

    @property
    def group(self) -> str:
        """What the row is not independent of: its cluster, or else its sample."""
        return f"cluster {self.cluster}" if self.cluster else f"sample {self.id}"

    @property
    def refused(self) -> bool:
        """Whether engines refused the sample, such as one that is longer than their context."""
        return self.correct is False and self.error is not None

    def line(self) -> str:
        """The row as a line of JSON."""
        return json.dumps(asdict(self), default=str) + "\n"


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
    """

    engines: list[str] = field(default_factory=list[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    command: str = ""
    version: str = ""
    samples: dict[str, int] = field(default_factory=dict[str, int])
    joules: dict[str, float] = field(default_factory=dict[str, float])
    shape: dict[str, Any] = field(default_factory=dict[str, Any])


def write(path: Path, text: str) -> None:
    """Replace a file at once, so that a crash leaves either the old or the new one."""
    temporary = path.with_name(path.name + ".new")
    # Half a character, which a part may give and UTF-8 can't write, is written as JSON escapes it.
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(temporary, path)


class Folder:
    """The files of one evaluation.

    Raises:
        StoreError: the folder can't be made or read, or holds something else.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        try:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            elif not (path / SETTINGS).is_file():
                raise StoreError(
                    f"{path} holds no evaluation (no {SETTINGS}); "
                    "give the --out of a `weft eval run`"
                )
        except OSError as e:
            raise StoreError(f"can't use {path} for an evaluation: {e.strerror}") from None

    @contextmanager
    def writing(self) -> Generator[None]:
        """Be the only one who writes into the folder.

        Raises:
            StoreError: somebody else writes there now, or nobody can.
        """
        try:
            file = (self.path / LOCK).open("a+", encoding="utf-8")
        except OSError as e:
            raise StoreError(f"can't write into {self.path} ({LOCK}): {e.strerror}") from e
        with file:
            held = locked(file.fileno())
            file.seek(0)
            holder = file.read(_HOLDER)
            if held is False or (held is None and may_run(holder)):
                raise StoreError(
                    f"another evaluation{named(holder)} writes into {self.path} now; wait until "
                    "it has ended, or give another --out"
                    + ("" if held is False else f"; if it was killed, remove {LOCK} there")
                )
            file.truncate(0)
            file.write(f"{os.getpid()} {platform.node()}")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def open(self, settings: Settings, *, moved: bool = False) -> Session:
        """Begin or go on under `settings`.

        Args:
            settings: of all rows.
            moved: whether the server may have another address than before.

        Raises:
            StoreError: the folder was made under other settings.
        """
        if not (self.path / SETTINGS).exists():
            return Session()
        there, session = self.settings()
        for f in fields(Settings):
            old, new = getattr(there, f.name), getattr(settings, f.name)
            if f.name == "task":
                old, new = there.question[0], settings.question[0]
            if old != new and not (moved and f.name == "server"):
                name = "task's data" if f.name == "data" else f.name
                raise StoreError(
                    f"{self.path} was made with {name} {_short(old)}, not {_short(new)}; "
                    f"give another --out, or {_way(f.name)} to go on"
                )
        return session

    def settings(self) -> tuple[Settings, Session]:
        """What the folder was made with."""
        path = self.path / SETTINGS
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            return Settings(**raw["settings"]), Session(**raw["session"])
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise StoreError(f"{path} can't be read as settings of an evaluation: {e}") from None

    def save(self, settings: Settings, session: Session) -> None:
        """Write the settings down."""
        both = {"settings": asdict(settings), "session": asdict(session)}
        write(self.path / SETTINGS, json.dumps(both, indent=2) + "\n")

    def rows(self) -> list[Row]:
        """The rows in order; of those for the same strategy, sample and repeat, the last.

        A last line that a crash cut short is left out.
        """
        path = self.path / ROWS
        if not path.exists():
            return []
        found: dict[tuple[str, tuple[str, int]], Row] = {}
        lines = path.read_text(encoding="utf-8").split("\n")
        for at, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                raw: dict[str, Any] = json.loads(line)
                usage = Usage(**raw.pop("usage"))
                row = Row(**raw, usage=usage)
            except (ValueError, KeyError, TypeError):
                if at == len(lines):
                    break
                raise StoreError(f"{path}:{at}: not a row of an evaluation") from None
            found[row.strategy, row.key] = row
        return list(found.values())

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Keep only these rows."""
        write(self.path / ROWS, "".join(row.line() for row in rows))

    def append(self, row: Row) -> None:
        """Add a row; it is on disk, for a crash of this process, when this returns."""
        with (self.path / ROWS).open("a", encoding="utf-8") as file:
            file.write(row.line())


def _way(name: str) -> str:
    return "--moved if it is the same server" if name == "server" else "the old settings"


def _short(value: object) -> str:
    text = repr(value) if value not in ({}, "") else "none"
    return text if len(text) <= 60 else text[:57] + "..."
