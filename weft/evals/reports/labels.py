"""Short names for strategies in plots and sentences."""

from __future__ import annotations

from collections.abc import Sequence


def family(spec: str) -> str:
    """A strategy's name without its parameters."""
    return spec.partition("(")[0]


def parameters(spec: str) -> dict[str, str]:
    """The parameters of a spec as they are written."""
    inside = spec.partition("(")[2].rpartition(")")[0]
    parts: list[str] = []
    depth, part = 0, ""
    for char in inside:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += char
    parts.append(part)
    pairs = (p.partition("=") for p in parts if "=" in p)
    return {key.strip(): value.strip() for key, _, value in pairs}


def curve(spec: str) -> str:
    """What strategies that differ in numbers alone have in common."""
    kept = [f"{k}={v}" for k, v in parameters(spec).items() if not v.replace(".", "").isdigit()]
    return " ".join([family(spec), *kept])


def labels(specs: Sequence[str]) -> dict[str, str]:
    """A short name for each: the family, and what differs within it."""
    short: dict[str, str] = {}
    for spec in specs:
        mine = parameters(spec)
        others = [parameters(s) for s in specs if family(s) == family(spec) and s != spec]
        differ = [
            f"{key}={mine[key]}" if key in mine else f"no {key}"
            for key in dict.fromkeys([*mine, *(k for o in others for k in o)])
            if any(o.get(key) != mine.get(key) for o in others)
        ]
        short[spec] = " ".join([family(spec), *differ])
    return short
