"""The metrics of a vLLM server, read from Prometheus' text."""

from __future__ import annotations

import re


def gauge(metrics: str, name: str) -> float:
    """The sum of a gauge over its labels; 0 where it is not reported."""
    found = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", metrics, re.MULTILINE)
    return sum(float(value) for value in found)


def labelled(metrics: str, name: str) -> dict[str, str]:
    """The labels of the first line of a metric."""
    line = re.search(rf"^{re.escape(name)}{{(.*)}} ", metrics, re.MULTILINE)
    return dict(re.findall(r'(\w+)="([^"]*)"', line.group(1))) if line else {}


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
