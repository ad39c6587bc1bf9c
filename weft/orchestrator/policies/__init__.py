"""The policies that weft comes with; importing this makes them known by name."""

from weft.orchestrator.policies import (
    affinity,
    autellix,
    continuum,
    hexgen,
    llumnix,
    prefix,
    saga,
    spread,
    thunderagent,
    weft,
)

__all__ = [
    "affinity",
    "autellix",
    "continuum",
    "hexgen",
    "llumnix",
    "prefix",
    "saga",
    "spread",
    "thunderagent",
    "weft",
]
