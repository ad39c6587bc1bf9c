"""viewer.html: every row with its texts, votes and trees, in one page that needs no server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from weft.evals.records import Folder, Row
from weft.evals.viewing.why import outcome, votes, why

VIEWER = "viewer.html"
_MOST = 64 << 20
"""Bytes of rows with texts; of those beyond, the page has no texts."""
_SHORT = 120
"""Letters of an answer in the list."""


def write_viewer(folder: Folder, see: Callable[[Row], object] = lambda row: None) -> Path:
    """Write the page of what a folder holds; gives its path.

    Rows pass through one at a time, so that memory does not grow with them.

    Args:
        folder: of the evaluation.
        see: is given each row with its texts.
    """
    settings, _ = folder.settings()
    template = Template(
        files("weft.evals.viewing").joinpath("viewer.html").read_text(encoding="utf-8")
    )
    title = escape(f"{settings.task}: every answer")
    subtitle = escape(f"Model {settings.model}, seed {settings.seed}")
    before, after = template.substitute(title=title, subtitle=subtitle).split("ROWS", 1)
    path = folder.path / VIEWER
    temporary = path.with_name(VIEWER + ".new")
    size = 0
    with temporary.open("w", encoding="utf-8", newline="\n") as page:
        page.write(before)
        for row in folder.whole_rows():
            see(row)
            head, body = _plain(_head(row)), _plain(_body(row))
            if size + len(body) > _MOST:
                body = _plain({"w": why(row), "cut": True})
            size += len(body)
            page.write(f"{head}\n{body}\n")
        page.write(after)
    os.replace(temporary, path)
    return path


def _plain(value: object) -> str:
    """JSON that can stand in a page's script."""
    return json.dumps(value, default=str, separators=(",", ":")).replace("<", "\\u003c")


def _head(row: Row) -> list[Any]:
    """What the list shows."""
    answer = row.answer if row.answer is not None else ""
    short = answer if len(answer) <= _SHORT else answer[:_SHORT] + "..."
    return [row.strategy, row.id, row.repeat, outcome(row), short]


def _body(row: Row) -> dict[str, Any]:
    """What a row shows when it is opened."""
    count = votes(row)
    return {
        "q": row.question,
        "g": row.target,
        "w": why(row),
        "v": list(count.items()) if sum(count.values()) > 1 else [],
        "u": _facts(row),
        "t": [text.json() for text in row.texts],
        "c": row.chosen,
        "x": row.text if not row.texts else None,
        "d": row.details,
        "b": row.before,
    }


def _facts(row: Row) -> str:
    u = row.usage
    dollars = f", ${u.dollars:.4f}" if u.dollars else ""
    return (
        f"{u.calls} calls; tokens: {u.prompt} prompt ({u.cached} cached), {u.completion} generated "
        f"({u.reasoning} thinking), {u.cancelled} cancelled{dollars}; {row.seconds:.2f} s"
    )
