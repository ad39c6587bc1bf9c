"""Sessions of many rounds as CSV, as TraceLab publishes them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from weft.errors import ConfigError
from weft.parts.parameters import param
from weft.simulation.sources import Source, source
from weft.simulation.sources.contexts import Fresh, Run, Scale, length, part
from weft.simulation.sources.formats.lines import names_in, read_lines, wrong
from weft.simulation.sources.planned_calls import PlannedCalls
from weft.simulation.workload import Job, PlannedCall

_COLUMNS = (
    "session_id",
    "arrival_time",
    "round_idx",
    "prefix_len",
    "input_len",
    "output_len",
    "tool_wait_after_ms",
)


@dataclass(frozen=True, slots=True)
class _Round:
    line: int
    session: str
    arrival: float
    index: float
    prefix: int
    input: int
    output: int
    wait: float


@source("tracelab")
class TraceLab(Source):
    """Sessions whose rounds each extend a prefix of the round before; times in ms.

    The columns are session_id, arrival_time, round_idx, prefix_len, input_len, output_len and
    tool_wait_after_ms; a session's rounds stand together. `prefix_len` of the tokens that the
    round before held, prompt and answer, come first in the prompt.
    """

    path: str = param("", "the file, plain or gzipped", main=True)
    scale: float = param(1.0, "factor on all lengths in tokens", above=0, most=16)
    wait_scale: float = param(1.0, "factor on all waits", least=0)
    wait_max: float = param(float("inf"), "longest wait, seconds", least=0)
    limit: int = param(0, "most sessions, 0 for no limit", least=0)

    @classmethod
    def recognizes(cls, line: str) -> bool:
        """A head that names the columns."""
        return not names_in(line) and {"session_id", "round_idx"} <= {*_columns(line)}

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The sessions in the file's order."""
        path = Path(self.path).expanduser()
        seen: set[str] = set()
        for session, rows in groupby(_rows(path), key=lambda row: row.session):
            rounds = list(rows)
            if session in seen:
                what = f"is {session}, whose rounds stand apart; sort the file by session_id"
                wrong(path, rounds[0].line, "session_id", what)
            _check(path, rounds)
            seen.add(session)
            scale = Scale(self.scale, block_size)
            yield Job(session, self._turns(rounds, scale), arrival=rounds[0].arrival / 1000)
            if len(seen) == self.limit:
                return

    def _turns(self, rounds: Sequence[_Round], scale: Scale) -> Iterator[PlannedCall]:
        fresh = Fresh(f"tracelab:{rounds[0].session}")
        planned = PlannedCalls(scale, fresh)
        context: list[Run] = []
        for row in rounds:
            prompt = [*part(context, 0, row.prefix), fresh(row.input)]
            context = [*prompt, fresh(row.output)]
            if row is rounds[-1]:
                yield planned.make(context, length(prompt), row.output)
                return
            wait = min(row.wait / 1000 * self.wait_scale, self.wait_max)
            yield planned.make(context, length(prompt), row.output, wait=wait, tool="tool")


def _rows(path: Path) -> Iterator[_Round]:
    lines = read_lines(path)
    at, header = next(lines, (1, ""))
    columns = _columns(header)
    for name in _COLUMNS:
        if name not in columns:
            raise ConfigError(
                f"{path}:{at}: the header lacks {name}; it must name {', '.join(_COLUMNS)}"
            )
    for name in columns:
        if name not in _COLUMNS or columns.count(name) > 1:
            raise ConfigError(
                f"{path}:{at}: the header names {name!r}, which this format does not have or "
                f"has once; it must name {', '.join(_COLUMNS)}"
            )
    for at, line in lines:
        values = next(csv.reader([line]))
        if len(values) != len(columns):
            raise ConfigError(
                f"{path}:{at}: has {len(values)} fields where the header has {len(columns)}; "
                "correct it or leave the line out"
            )
        row = dict(zip(columns, (v.strip() for v in values), strict=True))
        if not row["session_id"]:
            wrong(path, at, "session_id", "is empty")
        numbers = {name: _number(path, at, name, row[name]) for name in _COLUMNS[1:]}
        yield _Round(
            at,
            row["session_id"],
            numbers["arrival_time"],
            numbers["round_idx"],
            int(numbers["prefix_len"]),
            int(numbers["input_len"]),
            int(numbers["output_len"]),
            numbers["tool_wait_after_ms"],
        )


def _number(path: Path, at: int, field: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        wrong(path, at, field, f"is {text!r}, not a number" if text else "is empty")
    if not 0 <= value < float("inf"):
        wrong(path, at, field, f"is {text} but must be 0 or more")
    if field.endswith("_len") and not value.is_integer():
        wrong(path, at, field, f"is {text} but must be a whole number of tokens")
    return value


def _check(path: Path, rounds: Sequence[_Round]) -> None:
    held = 0
    for expected, row in enumerate(rounds):
        if row.index != expected:
            what = f"is {row.index:g} where round {expected} of session {row.session} is due"
            wrong(path, row.line, "round_idx", what)
        if row.prefix > held:
            what = f"is {row.prefix}, but there are only {held} tokens before this round"
            wrong(path, row.line, "prefix_len", what)
        if row.prefix + row.input < 1:
            wrong(path, row.line, "input_len", "is 0, and so the prompt is empty")
        held = row.prefix + row.input + row.output


def _columns(header: str) -> list[str]:
    return [name.strip() for row in csv.reader([header]) for name in row]
