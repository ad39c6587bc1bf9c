"""For how long a program that is away with a tool should keep its room, by published rules."""

from __future__ import annotations

import math

from weft.errors import UsageError
from weft.orchestrator.estimates.distribution import Distribution

_PRIORS = {"code": (0.18, 2.4), "file": (0.045, 0.32), "web": (0.85, 4.5), "db": (0.12, 0.89)}
"""SAGA's median and 95% quantile of kinds of tools, seconds."""

_Z95 = 1.6448536269514722  # the normal distribution's 95% quantile


def worthwhile(away: Distribution, benefit: float, cost: float = 1.0) -> tuple[float, str]:
    """The time to live that gains most: argmax over t of P(away <= t) x benefit - cost x t.

    With a cost of 1 it is the rule of Continuum (2025), whose benefit is the mean delay of
    queueing x `memoryfulness` + the seconds of reloading. Candidates are 0 and the ends of the
    distribution's buckets.

    Args:
        away: seconds that the tool takes; not empty.
        benefit: what it is worth that the room is still held at the return.
        cost: of holding the room for a second, in the same unit.

    Returns:
        Seconds, and the reason.

    Raises:
        UsageError: the cost is negative or not a number.
    """
    if not cost >= 0:
        raise UsageError(f"cost={cost!r} of a second of room must be at least 0")
    best, gain, chance = 0.0, 0.0, 0.0
    for seconds, share in away.points():
        value = share * benefit - cost * seconds
        if value > gain:
            best, gain, chance = seconds, value, share
    if best == 0:
        return 0.0, f"no time to live is worth its cost ({away.source})"
    return best, f"back within {best:.3g} s in {chance:.0%} of cases ({away.source})"


def holding(
    away: Distribution, benefit: float, cost: float, back: float = 1.0
) -> tuple[float, str]:
    """The time to hold room that gains most when only the time really held costs.

    It is argmax over t of P(away <= t) x benefit - cost x E[min(away, t)]: unlike in
    `worthwhile`, room is paid for until the return, not until t.

    Args:
        away: seconds that the tool takes; not empty.
        benefit: what it is worth that the room is still held at the return.
        cost: of holding the room for a second, in the same unit.
        back: the chance that the program returns at all.

    Returns:
        Seconds, and the reason.
    """
    best, chance = away.hold(cost / benefit, back) if benefit > 0 else (0.0, 0.0)
    if best == 0:
        return 0.0, f"holding it costs more than it saves ({away.source})"
    return best, f"back within {best:.3g} s in {chance:.0%} of cases ({away.source})"


def memoryfulness(calls: Distribution) -> float:
    """Continuum's eta: minus the correlation of calls done k and calls left N - k.

    Taken over all k = 1..N of programs of N calls. It is 1 if all programs have the same number
    of calls, 0 if numbers are geometric (each call may be the last, with one probability), and
    negative if long programs have the more left the longer they run.

    Args:
        calls: of whole programs.

    Returns:
        From -1 to 1; 0 if all programs have a single call.
    """
    pairs = squares = cubes = 0.0
    for n, share in calls.weights():
        pairs += share * n
        squares += share * n * n
        cubes += share * n * n * n
    if not pairs:
        return 0.0
    # Means over all pairs of k, k^2, m = N - k, m^2 and k m, by the sums of k and k^2 to N.
    k = (squares / pairs + 1) / 2
    kk = (2 * cubes / pairs + 3 * squares / pairs + 1) / 6
    m, mm = k - 1, kk - 2 * k + 1
    km = (cubes + squares) / pairs / 2 - kk
    spread = (kk - k * k) * (mm - m * m)
    if spread <= 1e-12:
        return 0.0
    return min(max((k * m - km) / math.sqrt(spread), -1.0), 1.0)


def tool_ttl(
    tool: str, away: Distribution, memory: float, most: float = 300.0
) -> tuple[float, str]:
    """SAGA's (2026) time to live: the 95% quantile of the tool's latency, less under pressure.

    It is min(p95 x (1 - m / 2), most), m = (memory - 0.7) / (0.9 - 0.7) within 0 and 1. The
    latency is log-normal with moments of its logarithm by moving averages of rate 0.1 that
    start at a prior: that of the kind (code, file, web, db) whose name is part of the tool's,
    or else of code.

    Args:
        tool: its name.
        away: seconds that it takes.
        memory: the share of the engine's KV cache that is in use, 0..1.
        most: seconds.

    Returns:
        Seconds, and the reason.
    """
    kind = next((kind for kind in _PRIORS if kind in tool.lower()), "code")
    median, p95 = _PRIORS[kind]
    mean = math.log(median)
    variance = ((math.log(p95) - mean) / _Z95) ** 2
    weight, first, second = away.log_moments
    first += (1 - weight) * mean
    second += (1 - weight) * (variance + mean * mean)
    late = math.exp(first + _Z95 * math.sqrt(max(second - first * first, 0.0)))
    pressure = min(max((memory - 0.7) / (0.9 - 0.7), 0.0), 1.0)
    seconds = min(late * (1 - pressure / 2), most)
    source = away.source if weight else f"prior of {kind} tools"
    return seconds, f"p95 {late:.3g} s at {memory:.0%} of memory ({source})"
