"""A task from a table: one problem a row, the names of the columns in the first."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weft.errors import ConfigError
from weft.evals.tasks.files.file_task import FileTask
from weft.evals.tasks.task import task


@task("csv")
class CsvTask(FileTask):
    """Questions and answers from your own CSV or TSV file, compared as a reader says."""

    def rows(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows of a file by the names of its columns."""
        return read_table(path)


def read_table(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table, with the numbers of the lines that they begin at.

    Commas, semicolons, tabs or bars part the columns, whichever the first row has most of. Texts
    with these, or with newlines, stand in double quotes. Blank lines are passed over.

    Raises:
        ConfigError: the file can't be read, or a row has more or fewer cells than columns; names
            the line.
    """
    text = _text(path)
    head = text.partition("\n")[0]
    part = "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=head.count)
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=part, strict=True)
    columns: list[str] | None = None
    at = 1
    try:
        for cells in reader:
            begun, at = at, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = [cell.strip() for cell in cells]
                _check_columns(path, columns)
                continue
            if len(cells) != len(columns):
                raise ConfigError(
                    f"{path}:{begun}: has {len(cells)} cells, and the first row has "
                    f"{len(columns)}; put texts with {part!r} in them in double quotes"
                )
            yield begun, dict(zip(columns, cells, strict=True))
    except csv.Error as e:
        raise ConfigError(
            f"{path}:{at}: not CSV: {e}; close each double quote, and write one within a text twice"
        ) from None


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"can't read {path}: {e.strerror or e}; name another file") from None
    try:
        text = raw.decode("utf-8-sig")
        wrong = raw.find(b"\0")
    except UnicodeDecodeError as e:
        text, wrong = "", e.start
    if wrong >= 0:
        at = raw[:wrong].count(b"\n") + 1
        raise ConfigError(f"{path}:{at}: is not UTF-8; save the file as UTF-8")
    return text


def _check_columns(path: Path, columns: list[str]) -> None:
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}:1: column {twice!r} is there twice; give each its own name")
