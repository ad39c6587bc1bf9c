"""The models that come in weft's own package, and what models are served as."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def shipped_model(name: str) -> Path | None:
    """The folder of a model that comes in the package."""
    folder = Path(str(files("weft"))) / "evals" / "models" / name
    return folder if (folder / "config.json").is_file() else None


def served_name(model: str) -> str | None:
    """A folder's own name; a hub name is served as it is."""
    return Path(model).name if Path(model).expanduser().is_dir() else None
