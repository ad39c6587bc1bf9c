"""The metrics of a vLLM server, read from Prometheus' text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator


def gauge(metrics: str, name: str, label: str = "") -> float:
    """The sum of a gauge over its labels; 0 where it is not reported. What is no number is not.

    Args:
        metrics: the text.
        name: of the gauge.
        label: as it is written, if only lines that have it are to count.
    """
    found = 0.0
    for line in _lines(metrics, name):
        if label not in line:
            continue
        try:
            value = float(line.rpartition("}")[2].split()[0])
        except (IndexError, ValueError):
            continue
        found += value if math.isfinite(value) else 0.0
    return found


GIVEN_UP, NEED = "weft:leased_blocks_given_up_total", 'cause="need"'
LEASED = "weft:leased_blocks"
LEASES = "weft:leases"
"""Is there if the server was started with weft's connector."""
PRIORITY = "weft:schedules_by_priority"
"""Is told by weft's connector alone; vLLM itself says nothing of how it schedules."""


def has(metrics: str, name: str) -> bool:
    """Whether a metric is reported."""
    return next(_lines(metrics, name), None) is not None


def labelled(metrics: str, name: str) -> dict[str, str]:
    """The labels of the first line of a metric."""
    line = next(_lines(metrics, name), "")
    return dict(re.findall(r'(\w+)="([^"]*)"', line.rpartition("}")[0]))


def _lines(metrics: str, name: str) -> Iterator[str]:
    """What stands behind the name in the lines of a metric.

    Each engine is asked each second, and tells some thousand lines: a pattern would look at each.
    """
    mark, end = f"\n{name}", 0
    if metrics.startswith(name):
        metrics = f"\n{metrics}"
    while (at := metrics.find(mark, end)) >= 0:
        at += len(mark)
        end = metrics.find("\n", at)
        line = metrics[at:] if end < 0 else metrics[at:end]
        if line.startswith(("{", " ")):
            yield line
        if end < 0:
            return


class ProcessWatch:
    """Sees by metrics whether another process serves: by its start, or counters that fell.

    A server with several front ends does not report a start.

    Attributes:
        number: of the process, counted from 0 on.
    """

    def __init__(self) -> None:
        self.number = 0
        self._seen: tuple[float, float] | None = None

    def note(self, metrics: str) -> None:
        """Metrics were read; an empty text says nothing."""
        start = gauge(metrics, "process_start_time_seconds")
        served = gauge(metrics, "vllm:prompt_tokens_total")
        seen = self._seen
        if not metrics:
            return
        if seen is not None and (start != seen[0] or served < seen[1]):
            self.number += 1
        self._seen = start, served
