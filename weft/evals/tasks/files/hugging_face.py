"""A task from a Hugging Face dataset that is on this machine."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from weft.errors import ConfigError
from weft.evals.tasks.files.file_task import FileTask
from weft.evals.tasks.task import task
from weft.extras import need
from weft.parts.faults import said

_SAVED = ("dataset_dict.json", "state.json")


@task("hf")
class HuggingFaceTask(FileTask):
    """Questions and answers from a Hugging Face dataset, on disk or in the cache (extra `hf`).

    Nothing is downloaded, unless `HF_HUB_OFFLINE=0` is set in the environment.

    Args:
        path: a folder that `save_to_disk` wrote, or a dataset's name such as `openai/gsm8k`.
        split: the part of the dataset, such as `test`.
        config: the configuration, where a dataset has several.
    """

    def __init__(self, path: str, split: str = "test", config: str = "", **shared: Any) -> None:
        need("hf", "the task hf")
        self.split, self.config = split, config
        super().__init__(Path(path), **shared)

    @property
    def spec(self) -> str:
        """Names the dataset only: `fingerprint` holds what is in it."""
        path = str(self.path).replace("'", "''")
        return f"hf(path='{path}', split='{self.split}')"

    def rows(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows of the split, from 1; classes by their names."""
        data = self._loaded(path)
        names = {
            column: list(cast("list[str]", feature.names))
            for column, feature in data.features.items()
            if hasattr(feature, "int2str")
        }
        for at, row in enumerate(data, 1):
            found: dict[str, Any] = {key: _written(value) for key, value in row.items()}
            for column, known in names.items():
                if isinstance(row[column], int) and row[column] >= 0:
                    found[column] = known[row[column]]
            yield at, found

    def _loaded(self, path: Path) -> Any:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        library: Any = importlib.import_module("datasets")
        try:
            if any((path / file).is_file() for file in _SAVED):
                data = library.load_from_disk(str(path))
            else:
                data = library.load_dataset(str(path), self.config or None)
        except (OSError, ValueError) as e:
            raise ConfigError(
                f"can't load the dataset {path}: {said(e)}; name a folder that save_to_disk wrote, "
                "or fill the cache first"
            ) from None
        if isinstance(data, dict):
            splits = cast("dict[str, Any]", data)
            if self.split not in splits:
                raise ConfigError(f"{path} has no split {self.split!r}; it has {', '.join(splits)}")
            data = splits[self.split]
        return data


def _written(value: Any) -> Any:
    """A value as files of JSON have it: numbers as they are written, lists and objects within."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return [_written(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _written(one) for key, one in cast("dict[str, Any]", value).items()}
    return value
