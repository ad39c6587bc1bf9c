"""Layers as specs write them, and the rules by which they follow each other."""

from __future__ import annotations

from collections.abc import Sequence

from weft.errors import UsageError
from weft.parts.spec import split_outside
from weft.search.collaboration.pipelines.component import COMPONENTS, Component

Layers = tuple[tuple[Component, ...], ...]


def read_layers(text: str) -> Layers:
    """`generator(n=3) + generator(role=draft) | ranker(k=2) | fuser` as components.

    Raises:
        UnknownName: there is no such component or parameter.
        UsageError: a value is not allowed, or the layers can't follow each other so.
    """
    parts = [split_outside(layer, "+") for layer in split_outside(text, "|")]
    layers = tuple(tuple(COMPONENTS.parse(one) for one in layer) for layer in parts)
    check_layers(layers)
    return layers


def write_layers(layers: Layers) -> str:
    """Layers as specs write them."""
    return " | ".join(" + ".join(one.spec for one in layer) for layer in layers)


def check_layers(layers: Sequence[Sequence[Component]]) -> None:
    """The rules of Archon (Saad-Falcon et al. 2024).

    Answers are made in the first layer, and only there. A layer has components of one kind, and
    only those that write answers may be several. What a critic says must be heard by a later
    layer. Tests are used by the layer directly behind them.

    Raises:
        UsageError: a rule is broken; the sentence says which.
    """
    for at, layer in enumerate(layers):
        one, where = layer[0], f"layer {at + 1} ({' + '.join(c.name for c in layer)})"
        if any(c.name != one.name for c in layer):
            raise UsageError(f"{where} has components of several kinds; give each its own layer")
        if len(layer) > 1 and not one.several:
            raise UsageError(f"{where} may have only one {one.name}")
        if one.begins and at:
            raise UsageError(f"{where} must be the first; answers are made there alone")
        if not one.begins and not at:
            raise UsageError(f"{where} can't be the first; begin with a generator")
        later = [c.name for other in layers[at + 1 :] for c in other]
        if one.heard_by and not set(one.heard_by) & set(later):
            raise UsageError(
                f"{where} is heard by nobody; put {' or '.join(one.heard_by)} behind it"
            )
        if one.follows and layers[at - 1][0].name != one.follows:
            raise UsageError(f"{where} must stand directly behind {one.follows}")
        if one.leads_to and later[:1] != [one.leads_to]:
            raise UsageError(f"{where} must stand directly before {one.leads_to}")
