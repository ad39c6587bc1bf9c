"""A task from a file of one's own: one JSON object a line, with a question and an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weft.evals.tasks.files.file_task import FileTask
from weft.evals.tasks.files.json_lines import read_objects
from weft.evals.tasks.task import task


@task("jsonl")
class JsonlTask(FileTask):
    """Questions and answers from your own JSONL file, compared as a reader says."""

    def rows(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """The objects of a file, one a line."""
        return read_objects(path)
