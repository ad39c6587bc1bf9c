"""Energy: what this machine's processors and GPUs have used, where it can be read.

Linux tells it of processors (RAPL, in /sys/class/powercap, for users who may read it), NVIDIA's
library of GPUs. It is of the whole machine: of all that runs there, idling included.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

RAPL = Path("/sys/class/powercap")
_DOMAINS = "intel-rapl:[0-9]*"


Reading = Mapping[str, tuple[float, float]]


def read_energy(rapl: Path = RAPL) -> Reading:
    """Of each counter, the joules it shows, and at how many it begins again; 0 is never.

    Args:
        rapl: where the counters of processors are.
    """
    found: dict[str, tuple[float, float]] = {}
    for domain in sorted(rapl.glob(_DOMAINS)):
        if domain.name.count(":") == 1:  # those of parts are in those of packages
            with suppress(OSError, ValueError):
                used, most = (
                    int((domain / name).read_text()) / 1e6
                    for name in ("energy_uj", "max_energy_range_uj")
                )
                found[domain.name] = used, most
    return found | _gpus()


def joules(
    before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]
) -> float | None:
    """What was used between two readings.

    None if no counter could be read at both, or if one began anew whose end is not known.
    """
    both = before.keys() & after.keys()
    if not both:
        return None
    used = 0.0
    for name in both:
        begun, most = before[name]
        grown = after[name][0] - begun
        if grown < 0 and not most:
            return None
        used += grown if grown >= 0 else grown + most
    return used


def _gpus() -> dict[str, tuple[float, float]]:
    """The counters of NVIDIA's GPUs, where its library is installed."""
    try:
        library: Any = import_module("pynvml")
        library.nvmlInit()
    except Exception:  # no library, no driver, no GPU
        return {}
    found: dict[str, tuple[float, float]] = {}
    for i in range(library.nvmlDeviceGetCount()):
        with suppress(Exception):  # older GPUs don't count
            handle = library.nvmlDeviceGetHandleByIndex(i)
            found[f"gpu {i}"] = library.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3, 0.0
    return found
