"""ReportSection: one of a report's tables, for pages and terminals alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A table.

    Attributes:
        title: what it is of.
        columns: its heads.
        rows: its cells.
        notes: what a reader has to know.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: str
