"""merge: rows of several evaluations of one suite, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from weft.errors import StoreError, UsageError
from weft.evals.records import SETTINGS, Folder, Session, Settings
from weft.evals.records.row import RowKey
from weft.evals.results import Evaluation
from weft.evals.running.session import finish


def merge(paths: Sequence[Path], out: Path) -> Evaluation:
    """Put the rows of evaluations together; what failed in one may be there in another.

    Args:
        paths: the folders; they stay as they are.
        out: a new folder.

    Raises:
        UsageError: there are fewer than two, or `out` is an evaluation already.
        StoreError: they are of different suites, or two have different rows for the same.
    """
    if len(paths) < 2:
        raise UsageError("merge takes two folders or more; name another")
    folders = [Folder(path) for path in paths]
    if (out / SETTINGS).exists():
        raise UsageError(f"{out} holds an evaluation already; give another -o")
    sessions = [folder.settings() for folder in folders]
    settings = sessions[0][0]
    for path, (other, _) in zip(paths[1:], sessions[1:], strict=True):
        _check_same(settings, other, paths[0], path)
    servers = sorted({server for own, _ in sessions for server in own.server})
    taken, clashes = _taken(folders)
    if clashes:
        (strategy, (id, repeat)), first, second = clashes[0]
        again = f", repeat {repeat + 1}" if repeat else ""
        more = f" ({len(clashes)} rows differ)" if len(clashes) > 1 else ""
        raise StoreError(
            f"{paths[first]} and {paths[second]} have different rows for {strategy} on sample "
            f"{id!r}{again}{more}; leave one of the folders out"
        )
    merged = Folder(out, create=True)
    with merged.writing():
        session = _session([s for _, s in sessions], list(taken))
        merged.save(replace(settings, server=servers), session)
        for at, folder in enumerate(folders):
            for row in folder.whole_rows():
                if taken[row.strategy, row.key][0] == at:
                    merged.append(row)
        return finish(merged)


def _check_same(first: Settings, second: Settings, a: Path, b: Path) -> None:
    for f in fields(Settings):
        one, other = getattr(first, f.name), getattr(second, f.name)
        if f.name == "task":
            one, other = first.question[0], second.question[0]
        if one != other and f.name != "server":
            name = "task's data" if f.name == "data" else f.name
            raise StoreError(
                f"{a} and {b} are no parts of one evaluation: {name} is {one!r} in the one and "
                f"{other!r} in the other; compare them with weft eval compare"
            )


_Said = tuple[str | None, bool | None] | None
"""A row's answer, and whether it is right; None if the row failed."""


def _taken(
    folders: Sequence[Folder],
) -> tuple[dict[RowKey, tuple[int, _Said]], list[tuple[RowKey, int, int]]]:
    """Which folder each row is taken from, and which rows two folders have differently."""
    taken: dict[RowKey, tuple[int, _Said]] = {}
    clashes: list[tuple[RowKey, int, int]] = []
    for at, folder in enumerate(folders):
        for row in folder.whole_rows(texts=False):
            key, said = (row.strategy, row.key), (row.answer, row.correct)
            there = taken.get(key)
            if there is None or (there[1] is None and row.error is None):
                taken[key] = at, said if row.error is None else None
            elif row.error is None and said != there[1]:
                clashes.append((key, there[0], at))
    return taken, clashes


def _session(sessions: Sequence[Session], keys: Sequence[RowKey]) -> Session:
    """What is known of all sessions together; of what only one can say, the last counts."""
    samples: dict[str, int] = {}
    for strategy, _ in keys:
        samples[strategy] = samples.get(strategy, 0) + 1
    for session in sessions:
        for strategy, count in session.samples.items():
            samples[strategy] = max(count, samples.get(strategy, 0))
    seconds: dict[str, float] = {}
    for session in sessions:
        for strategy, spent in session.seconds.items():
            seconds[strategy] = seconds.get(strategy, 0.0) + spent
    engines = sorted({name for session in sessions for name in session.engines})
    return replace(
        sessions[-1],
        engines=engines,
        seconds=seconds,
        joules={},  # the machines may be several
        samples=samples,
        cells={name: cell for s in sessions for name, cell in s.cells.items()},
        problems=max(len({id for _, (id, _) in keys}), *(s.problems for s in sessions)),
    )
