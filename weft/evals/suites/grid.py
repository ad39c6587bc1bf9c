"""Sweeps: strategies under every combination of some settings (Bag of Tricks, Liu et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, cast

from weft.errors import UnknownName, UsageError
from weft.parts.spec import Spec, plain_value, read_spec, split_outside
from weft.search.collaboration.routing.asked import Asked
from weft.search.strategy import STRATEGIES, Strategy, parse_strategy

MOST = 1000
"""Cells of a sweep."""
BASE = "strategy"
"""The axis of the strategies themselves."""
_AROUND = tuple(p.name for p in Asked.parameters() if p.name != "of")


def cells(
    strategies: Sequence[str], axes: Mapping[str, Sequence[Any]]
) -> dict[str, dict[str, Any]]:
    """The strategies of a sweep: of each, as a spec, its value on each axis.

    An axis is a parameter of strategies; those that don't have the parameter are not varied by it.
    What `asked` sets, such as `top_p`, `prompt` and `tokens`, is an axis for every strategy.

    Args:
        strategies: specs.
        axes: by name, the values.

    Raises:
        UnknownName: no strategy has such a setting.
        UsageError: a value is not allowed, an axis has no values, or there are too many cells.
    """
    bases = [parse_strategy(one) for one in strategies]
    known = {*_AROUND, *(p.name for base in bases for p in base.parameters())}
    for name, values in axes.items():
        if name not in known:
            raise UnknownName("setting of a sweep", name, known)
        if not values:
            raise UsageError(f"{name} of the sweep has no values; give one at least")
    found: dict[str, dict[str, Any]] = {}
    for base in bases:
        mine = {name: values for name, values in axes.items() if _varies(base, name)}
        if prod(map(len, mine.values())) + len(found) > MOST:
            raise UsageError(f"the sweep has more than {MOST} cells; leave some values out")
        for values in product(*mine.values()):
            chosen = dict(zip(mine, values, strict=True))
            found.setdefault(_set(base, chosen).spec, {BASE: base.spec, **chosen})
    return found


def _varies(base: Strategy, name: str) -> bool:
    return name in _AROUND or name in {p.name for p in base.parameters()}


def _set(base: Strategy, values: Mapping[str, Any]) -> Strategy:
    """A strategy with these values; what it has no parameters for is set around it."""
    own = {p.name for p in base.parameters()}
    inner = _with(base.spec, {name: value for name, value in values.items() if name in own})
    around = {name: value for name, value in values.items() if name not in own}
    return STRATEGIES.parse(_with(Asked().spec, {"of": inner, **around}) if around else inner)


def _with(spec: str, values: Mapping[str, Any]) -> Spec:
    read = read_spec(spec)
    texts = {name: text for name, text in read.texts.items() if name not in values}
    return Spec(read.name, {**read.values, **values}, texts)


def read_axis(text: str) -> tuple[str, list[Any]]:
    """`temperature=0.4,0.8` as a name and values; commas within parentheses part nothing.

    Raises:
        UsageError: there is no `=`.
    """
    name, equals, rest = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--over {text!r} must be written as setting=value,value")
    return name.strip(), [_value(one) for one in split_outside(rest, ",")]


def _value(text: str) -> Any:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else plain_value(text)


def listed(given: object) -> object:
    """The block of a suite: one value alone is a list of it."""
    if not isinstance(given, Mapping):
        return given
    found: dict[str, list[Any]] = {}
    for name, value in cast("Mapping[str, object]", given).items():
        found[name] = cast("list[Any]", value) if isinstance(value, list) else [value]
    return found
