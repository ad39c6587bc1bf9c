"""weft's version, as installed."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """The installed version, or `unknown` when run from a folder that is not installed."""
    try:
        return metadata.version("weft")
    except metadata.PackageNotFoundError:
        return "unknown"
