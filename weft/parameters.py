"""Parameters of strategies and policies: what their values may be, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from weft.errors import UsageError


@dataclass(frozen=True)
class Parameter:
    """A parameter of a strategy or policy: what it may be.

    Attributes:
        name: as written in a spec.
        default: its value where none is given.
        doc: what it means, in a line.
        least: smallest value allowed.
        above: value that it must exceed.
        most: largest value allowed.
        choices: the only values allowed, if any are named.
        main: the canonical spec always shows it.
        kind: what values are; the type of `default` if left out.
        read: checks a value further, raising `UsageError`.
    """

    name: str
    default: Any
    doc: str
    least: float | None = None
    above: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    main: bool = False
    kind: type[Any] | None = None
    read: Callable[[str], object] | None = None

    def accept(self, owner: str, value: Any) -> Any:
        """The value as this parameter takes it.

        Raises:
            UsageError: it is of another kind, or out of range.
        """
        kind: type[Any] = self.kind or self.default.__class__
        if kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._wrong(owner, value, f"must be {_KINDS.get(kind, f'a {kind.__name__}')}")
        if self.choices and value not in self.choices:
            raise self._wrong(owner, value, f"must be one of {', '.join(self.choices)}")
        if self.least is not None and not value >= self.least:
            raise self._wrong(owner, value, f"must be at least {self.least:g}")
        if self.above is not None and not value > self.above:
            raise self._wrong(owner, value, f"must be above {self.above:g}")
        if self.most is not None and not value <= self.most:
            raise self._wrong(owner, value, f"must be at most {self.most:g}")
        if self.read is not None and isinstance(value, str):
            self.read(value)
        return value

    def _wrong(self, owner: str, value: Any, must: str) -> UsageError:
        return UsageError(
            f"{self.name}={written(value)} of {owner} {must}; "
            f"its default is {self.name}={written(self.default)}"
        )


_KINDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a name",
}


def param(
    default: Any,
    doc: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    main: bool = False,
    kind: type[Any] | None = None,
    read: Callable[[str], object] | None = None,
) -> Any:
    """A parameter, written as the default of a field (see `Parameter`)."""
    rules = {
        "doc": doc,
        "least": least,
        "above": above,
        "most": most,
        "choices": choices,
        "main": main,
        "kind": kind,
        "read": read,
    }
    return field(default=default, metadata=rules)


def temperature(default: float = 0.8) -> Any:
    """The parameter that nearly every strategy has."""
    return param(default, "sampling temperature", least=0, most=2)


_WORD = re.compile(r"[A-Za-z_][\w.:/-]*")


def written(value: Any) -> str:
    """A value as a spec writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, str) and not _WORD.fullmatch(value):
        return f'"{value}"' if '"' not in value else f"'{value}'"
    return str(value)


class Parametric:
    """Something that a spec names: a frozen dataclass whose fields are its parameters.

    Raises:
        UsageError: a parameter is of the wrong kind or out of range.
    """

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for p in self.parameters():
            object.__setattr__(self, p.name, p.accept(self.name, getattr(self, p.name)))

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """The parameters, in order."""
        found: list[Parameter] = []
        for f in fields(cls):  # pyright: ignore[reportArgumentType] - its subclasses are ones
            assert f.default is not MISSING, f"{cls.__name__}.{f.name} needs a default"
            found.append(Parameter(f.name, f.default, **f.metadata))
        return tuple(found)

    @property
    def spec(self) -> str:
        """The canonical spec: main parameters, and those that differ from their defaults."""
        shown = [
            f"{p.name}={written(getattr(self, p.name))}"
            for p in self.parameters()
            if p.main or getattr(self, p.name) != p.default
        ]
        return f"{self.name}({', '.join(shown)})" if shown else self.name

    def __str__(self) -> str:
        return self.spec
