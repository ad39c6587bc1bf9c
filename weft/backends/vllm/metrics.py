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
