"""What a played workload is judged by."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from weft.simulation.play import Play


@dataclass(frozen=True, slots=True)
class PlayMetrics:
    """Figures of one play. Times are in seconds.

    Attributes:
        jobs: programs that finished.
        failed: programs that ended with an error.
        calls: calls that finished.
        mean: completion time of a program, from its arrival to its last answer; and its
            quantiles `p50`, `p95`, `p99`.
        goodput: programs a second that finished within their SLO.
        in_time: share of the finished programs that did.
        programs_per_second: throughput in programs.
        tokens_per_second: throughput in generated tokens.
        ttft: from asking to the first token, mean; and its 99th percentile `ttft_p99`.
        hit_rate: share of prompt tokens found cached.
        fairness: Jain's index (1984) of the tenants' slow-downs: 1 if all fare alike.
        seconds: from the first arrival to the last end.
    """

    jobs: int
    failed: int
    calls: int
    mean: float
    p50: float
    p95: float
    p99: float
    goodput: float
    in_time: float
    programs_per_second: float
    tokens_per_second: float
    ttft: float
    ttft_p99: float
    hit_rate: float
    fairness: float
    seconds: float


def quantile(values: Sequence[float], p: float) -> float:
    """The smallest value that a share `p` of the sorted `values` does not exceed; NaN of none."""
    return values[max(0, math.ceil(p * len(values)) - 1)] if values else math.nan


def measure(played: Play, slo: float | None = None) -> PlayMetrics:
    """The figures of a play.

    Args:
        played: the records.
        slo: seconds within which a program should finish, for those without an SLO of their
            own; None counts those as in time.
    """
    done = [job for job in played.jobs if not job.error]
    calls = [call for call in played.calls if call.done]
    times = sorted(job.ended - job.arrived for job in done)
    first = min((job.arrived for job in played.jobs), default=0.0)
    seconds = max((job.ended for job in played.jobs), default=0.0) - first
    in_time = 0
    for job in done:
        limit = job.slo if job.slo is not None else slo
        in_time += limit is None or job.ended - job.arrived <= limit
    ttft = sorted(call.first - call.came for call in calls)
    prompts = sum(call.prompt for call in calls)
    return PlayMetrics(
        jobs=len(done),
        failed=len(played.jobs) - len(done),
        calls=len(calls),
        mean=sum(times) / len(times) if times else math.nan,
        p50=quantile(times, 0.5),
        p95=quantile(times, 0.95),
        p99=quantile(times, 0.99),
        goodput=in_time / seconds if seconds else 0.0,
        in_time=in_time / len(done) if done else 0.0,
        programs_per_second=len(done) / seconds if seconds else 0.0,
        tokens_per_second=sum(c.answer for c in played.calls) / seconds if seconds else 0.0,
        ttft=sum(ttft) / len(ttft) if ttft else math.nan,
        ttft_p99=quantile(ttft, 0.99),
        hit_rate=sum(call.cached for call in calls) / prompts if prompts else 0.0,
        fairness=_fairness(played),
        seconds=seconds,
    )


def _fairness(played: Play) -> float:
    """Jain's index over the tenants' mean slow-down: time taken for each second in engines."""
    served: dict[str, float] = defaultdict(float)
    for call in played.calls:
        served[call.job] += call.ended - call.sent if call.engine else 0.0
    slow: dict[str, list[float]] = defaultdict(list)
    for job in played.jobs:
        if served[job.id] > 0:
            slow[job.tenant].append((job.ended - job.arrived) / served[job.id])
    shares = [sum(values) / len(values) for values in slow.values()]
    squares = sum(x * x for x in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
