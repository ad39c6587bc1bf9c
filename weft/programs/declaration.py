"""Declaration: what a program says of itself before it runs."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import UsageError


@dataclass(frozen=True, slots=True)
class Declaration:
    """What `@program(...)` was told.

    Attributes:
        calls: that a run is expected to make; None if the program does not say.

    Raises:
        UsageError: `calls` is no whole number above 0.
    """

    calls: int | None = None

    def __post_init__(self) -> None:
        calls = self.calls
        if calls is not None and (type(calls) is not int or calls < 1):
            raise UsageError(f"@program calls={calls!r} must be a whole number above 0")


NOTHING_DECLARED = Declaration()


def declared(function: object) -> Declaration:
    """What a program, by its function, has declared."""
    found = getattr(function, "__weft__", None)
    return found if isinstance(found, Declaration) else NOTHING_DECLARED
