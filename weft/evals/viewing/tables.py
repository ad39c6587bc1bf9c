"""Rows as a table for spreadsheets and data frames: CSV, and Parquet by the extra `parquet`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from weft.evals.records import Folder, Row
from weft.evals.viewing.why import outcome
from weft.extras import need

_COLUMNS: dict[str, tuple[str, Callable[[Row], Any]]] = {
    "strategy": ("string", lambda r: r.strategy),
    "id": ("string", lambda r: r.id),
    "repeat": ("int64", lambda r: r.repeat),
    "cluster": ("string", lambda r: r.cluster),
    "outcome": ("string", outcome),
    "correct": ("bool_", lambda r: r.correct),
    "credit": ("float64", lambda r: r.credit),
    "answer": ("string", lambda r: r.answer),
    "target": ("string", lambda r: r.target),
    "score": ("float64", lambda r: r.score),
    "error": ("string", lambda r: r.error),
    "calls": ("int64", lambda r: r.usage.calls),
    "prompt_tokens": ("int64", lambda r: r.usage.prompt),
    "cached_tokens": ("int64", lambda r: r.usage.cached),
    "completion_tokens": ("int64", lambda r: r.usage.completion),
    "cancelled_tokens": ("int64", lambda r: r.usage.cancelled),
    "reasoning_tokens": ("int64", lambda r: r.usage.reasoning),
    "dollars": ("float64", lambda r: r.usage.dollars),
    "seconds": ("float64", lambda r: r.seconds),
    "drawn": ("int64", lambda r: r.drawn),
    "right": ("int64", lambda r: r.right),
    "at": ("float64", lambda r: r.at),
    "question": ("string", lambda r: _json(r.question)),
    "text": ("string", lambda r: r.text),
    "texts": ("string", lambda r: _json([t.json() for t in r.texts])),
    "details": ("string", lambda r: _json(r.details)),
}
"""What there is of a row, and its type."""
_GROUP = 1000
"""Rows that are in memory at once."""


def write_csv(folder: Folder, out: Path) -> None:
    """Write a CSV file; what is nested is JSON within it."""
    with out.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        for row in folder.whole_rows():
            table.writerow([value(row) for _, value in _COLUMNS.values()])


def write_parquet(folder: Folder, out: Path) -> None:
    """Write a Parquet file; what is nested is JSON within it.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    need("parquet", "export to Parquet")
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, (kind, _) in _COLUMNS.items()])
    rows = folder.whole_rows()
    with parquet.ParquetWriter(out, schema) as file:
        while group := list(islice(rows, _GROUP)):
            columns = {name: [value(r) for r in group] for name, (_, value) in _COLUMNS.items()}
            file.write_table(arrow.table(columns, schema=schema))


def _json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
