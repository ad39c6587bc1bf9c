"""What sessions.py compares, and the figures of it: for people, and as rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from gateways import Gateway
from replayed import Outcome


@dataclass(frozen=True)
class Way:
    """How calls get to the replicas: through a gateway, or directly.

    Attributes:
        name: unique.
        gateway: None for a client that knows the replicas.
        turns: such a client sends each call to the next replica, not a session to one.
        cap: most sessions that such a client has at once; None is no limit.
        named: calls name their session, by `x-session-id`.
        kept: the gateway goes on from one round to the next, and is not started anew.
        restarted: the replicas behind such a gateway are restarted between rounds.
    """

    name: str
    gateway: Gateway | None = None
    turns: bool = False
    cap: int | None = None
    named: bool = True
    kept: bool = False
    restarted: bool = False


@dataclass
class Passes:
    """What the passes of one way under one load gave."""

    way: Way
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    fans: list[Outcome] = field(default_factory=list[Outcome])
    means: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    cached: list[float] = field(default_factory=list[float])

    def figures(self, alone: dict[int, float], slo: float) -> dict[str, float]:
        """Of all passes; completion is that of sessions that did not fail."""
        whole = sorted(o.completion for o in self.outcomes if not o.failed)
        good = sum(not o.failed and o.completion <= slo * alone[o.index] for o in self.outcomes)
        firsts = sorted(first for o in self.outcomes for first in o.firsts)
        return {
            "mean": mean(whole) if whole else float("nan"),
            "p50": quantile(whole, 0.5),
            "p99": quantile(whole, 0.99),
            "first": quantile(firsts, 0.5),
            "goodput": 60 * good / self.seconds,
            "hit_rate": mean(self.cached),
            "errors": float(sum(o.errors for o in self.outcomes + self.fans)),
            "failed": float(sum(o.failed for o in self.outcomes + self.fans)),
            "fans": mean([o.completion for o in self.fans if not o.failed] or [float("nan")]),
        }


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def promising(passes: Sequence[Passes]) -> list[Passes]:
    """All but the caps that are a fifth worse than the best."""
    capped = [mean(one.means) for one in passes if one.way.cap]
    return [one for one in passes if not one.way.cap or mean(one.means) <= 1.2 * min(capped)]


def best(passes: Sequence[Passes]) -> list[Passes]:
    """Of the caps, the best alone."""
    capped = [one for one in passes if one.way.cap]
    least = min(capped, key=lambda one: mean(one.means), default=None)
    return [one for one in passes if not one.way.cap or one is least]


def table(passes: Sequence[Passes], alone: dict[int, float], slos: Sequence[float]) -> str:
    """The figures for people; gains are the others' mean completion over weft's."""
    kept = best(passes)
    ours = next((one for one in passes if one.way.name == "weft"), None)
    goods = "".join(f"{f'good {slo:g}x':>10}" for slo in slos)
    units = "".join(f"{'/min':>10}" for _ in slos)
    lines = [
        f"{'':32}{'mean':>8}{'p50':>8}{'p99':>8}{'first':>8}{goods}{'cached':>9}{'errors':>8}"
        f"{'failed':>8}{'gain of weft':>14}{'by round':>14}",
        f"{'':32}{'s':>8}{'s':>8}{'s':>8}{'s':>8}{units}",
    ]
    for one in passes:
        m = one.figures(alone, slos[0])
        goods = "".join(f"{one.figures(alone, slo)['goodput']:>10.2f}" for slo in slos)
        line = (
            f"{one.way.name:32}{m['mean']:>8.1f}{m['p50']:>8.1f}{m['p99']:>8.1f}"
            f"{m['first']:>8.2f}{goods}{m['hit_rate']:>9.1%}{m['errors']:>8.0f}{m['failed']:>8.0f}"
        )
        if ours and one is not ours:
            by_round = [b / a for a, b in zip(ours.means, one.means, strict=False)]
            span = f"{min(by_round):.2f} - {max(by_round):.2f}"
            line += f"{m['mean'] / ours.figures(alone, slos[0])['mean']:>13.2f}x{span:>14}"
        if one.fans:
            line += f"   fan-outs {m['fans']:.2f} s"
        lines.append(line + ("" if one in kept else "   (not the best cap)"))
    return "\n".join(lines)


FIGURES = {
    "mean": ("mean completion", "s", "lower"),
    "p50": ("p50 completion", "s", "lower"),
    "p99": ("p99 completion", "s", "lower"),
    "first": ("p50 time to first token", "s", "lower"),
    "goodput": ("goodput", "sessions/min", "higher"),
    "hit_rate": ("prompt tokens cached", "share", "higher"),
    "errors": ("errors", "calls", "lower"),
    "fans": ("mean completion of fan-outs", "s", "lower"),
}


def rows(
    load: str, passes: Sequence[Passes], alone: dict[int, float], slo: float
) -> list[dict[str, Any]]:
    """The figures as rows; of the caps that of the best."""
    found = {one.way.name: one.figures(alone, slo) for one in best(passes)}
    ours = found.pop("weft", None)
    if ours is None:
        return []
    return [
        {
            "name": f"{load}: {name}" + (f" at {slo:g}x alone" if figure == "goodput" else ""),
            "unit": unit,
            "better": better,
            "weft": round(ours[figure], 5),
            "peers": {n: round(f[figure], 5) for n, f in found.items()},
        }
        for figure, (name, unit, better) in FIGURES.items()
        if not math.isnan(ours[figure])
    ]
