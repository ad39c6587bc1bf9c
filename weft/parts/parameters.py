"""Parameters of what specs name: what their values may be, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from weft.errors import UsageError
from weft.parts.spec import Spec, read_spec
from weft.parts.spec import written as written_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Parameter:
    """A parameter of what a spec names: what it may be.

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
        read: checks a value further, raising `UsageError`. What names another part gives that
            part, and the value is its canonical spec then.
        required: a spec must give it; `default` means nothing.
    """

    name: str
    default: Any
    doc: str = ""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    main: bool = False
    kind: type[Any] | None = None
    read: Callable[[str], object] | None = None
    required: bool = False

    def of(self, owner: str, spec: Spec) -> Any:
        """The value that a spec gives it, yet to be accepted.

        Raises:
            UsageError: it is a spec, where a plain value is wanted.
        """
        value, kind = spec.values[self.name], self._kind
        if isinstance(value, Spec):
            if issubclass(kind, Parametric):
                return kind.registry.parse(value)
            if self.read is None:
                raise UsageError(
                    f"{self.name} of {owner} takes a plain value, not {value.name}(...); put a "
                    "text with parentheses in quotes"
                )
            return value.renamed(str)
        if self.read is not None and isinstance(value, Mapping):
            return read_spec(cast("Mapping[str, Any]", value), self.name).renamed(str)
        if kind is str and isinstance(value, bool | int | float):
            # As it is written: `007` and `1e22` are names of files too.
            return spec.texts.get(self.name, written(value))
        return value

    @property
    def _kind(self) -> type[Any]:
        return self.kind or self.default.__class__

    def accept(self, owner: str, value: Any) -> Any:
        """The value as this parameter takes it.

        Raises:
            UsageError: it is of another kind, or out of range.
        """
        kind: Any = self._kind
        if value is None and self.default is None:
            return value
        if issubclass(kind, Parametric) and isinstance(value, str | Mapping):
            return kind.registry.parse(value)
        if kind is float and (type(value) is int or value in ("inf", "-inf")):
            value = float(value)
        if kind is int and type(value) is float and value.is_integer():
            value = int(value)  # 1e3 is one
        if not isinstance(value, kind) or (isinstance(value, bool) and kind not in _BOOL):
            raise self._wrong(owner, value, f"must be {_KINDS.get(kind, f'a {kind.__name__}')}")
        if self.choices and value not in self.choices:
            raise self._wrong(owner, value, f"must be one of {', '.join(self.choices)}")
        number: Any = value
        if self.least is not None and not number >= self.least:
            raise self._wrong(owner, value, f"must be at least {self.least:g}")
        if self.above is not None and not number > self.above:
            raise self._wrong(owner, value, f"must be above {self.above:g}")
        if self.most is not None and not number <= self.most:
            raise self._wrong(owner, value, f"must be at most {self.most:g}")
        if self.read is not None and isinstance(value, str):
            found = self.read(value)
            return found.spec if isinstance(found, Parametric) else value
        return value

    def _wrong(self, owner: str, value: Any, must: str) -> UsageError:
        usual = "" if self.required else f"; its default is {self.name}={written(self.default)}"
        return UsageError(f"{self.name}={written(value)} of {owner} {must}{usual}")


_BOOL = (bool, object)
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
    """A parameter of a part, written as the default of a field.

        n: int = param(8, "how many samples", least=1)

    Args:
        default: the parameter's value where a spec gives none.
        doc: what the parameter means, in a line; listings show it.
        least: the smallest value allowed.
        above: a value that the parameter must exceed.
        most: the largest value allowed.
        choices: the only values allowed, if any are named.
        main: whether canonical specs always show the parameter; by default they leave out what
            has its default.
        kind: what values are; the type of `default` if left out.
        read: checks a text further, raising `UsageError`, such as `parse_strategy`.
    """
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


def written(value: Any) -> str:
    """A value as a spec writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return written_text(value) if isinstance(value, str) else str(value)


class Registers(Protocol):
    """Where the parts of a kind are known by name (see `PartRegistry`)."""

    def parse(self, spec: Any) -> Any:
        """The part that a spec describes."""
        ...


class Parametric:
    """Something that a spec names: a frozen dataclass whose fields are its parameters.

    Raises:
        UsageError: a parameter is of the wrong kind or out of range.
    """

    name: ClassVar[str] = ""
    registry: ClassVar[Registers]

    def __post_init__(self) -> None:
        for p in self.parameters():
            object.__setattr__(self, p.name, p.accept(self.name, getattr(self, p.name)))

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """The parameters, in order."""
        found: list[Parameter] = []
        for f in fields(cast("type[DataclassInstance]", cls)):  # its subclasses are ones
            if f.default is MISSING:
                raise UsageError(
                    f"{f.name} of {cls.__name__} needs a default; write "
                    f"{f.name}: ... = param(DEFAULT, 'what it means')"
                )
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
