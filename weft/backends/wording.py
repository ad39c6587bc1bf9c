"""What one is told of the parameters that an endpoint takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Wording:
    """Which parameters an endpoint takes, as far as that is known beforehand.

    Attributes:
        omit: parameters never to send.
        rename: parameters to send under other names.
        extra: fields to send with every request.
    """

    omit: frozenset[str] = frozenset()
    rename: dict[str, str] = field(default_factory=dict[str, str])
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def __bool__(self) -> bool:
        return bool(self.omit or self.rename or self.extra)

    def of(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a body in these words."""
        kept = {k: v for k, v in merged(fields, self.extra).items() if k not in self.omit}
        return {self.rename.get(k, k): v for k, v in kept.items()}


def merged(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with further ones; objects that both have are joined."""
    found = dict(fields)
    for name, value in extra.items():
        both = isinstance(found.get(name), dict) and isinstance(value, dict)
        found[name] = {**found[name], **value} if both else value
    return found
