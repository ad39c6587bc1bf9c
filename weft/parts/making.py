"""Making: an object of a class, from a spec that names the values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from weft.errors import UnknownName, UsageError, WeftError
from weft.parts.faults import sentence
from weft.parts.importing import reference
from weft.parts.parameters import Parametric
from weft.parts.signature import converted, parameters
from weft.parts.spec import Spec

P = TypeVar("P")


def build(kind: str, part: type[P], spec: Spec) -> P:
    """A class's object, with the values of a spec.

    Raises:
        UnknownName: it has no such parameter.
        UsageError: a value is missing or not allowed, or the code raised something.
    """
    return make(kind, part, values_of(kind, part, spec))


def values_of(
    kind: str, part: type[Any], spec: Spec, optional: Sequence[str] = ()
) -> dict[str, Any]:
    """The values that a spec gives the parameters of a class, checked.

    Args:
        kind: for messages.
        part: the class.
        spec: names the values.
        optional: parameters that the spec may leave out in any case.

    Raises:
        UnknownName: the class has no such parameter.
        UsageError: a value is missing or not allowed.
    """
    named: object = getattr(part, "name", None)
    name = spec.name if reference(spec.name) is None else part.__name__
    name = named if isinstance(named, str) and named else name
    known = {p.name: p for p in parameters(part)}
    for key in spec.values:
        if key not in known:
            if not known:
                raise UsageError(f"{kind} {name} has no parameters; leave out {key}")
            raise UnknownName(f"parameter of {name}", key, known)
    for p in known.values():
        if p.required and p.name not in spec.values and p.name not in optional:
            raise UsageError(f"{kind} {name} needs {p.name}; write {name}({p.name}=...)")
    values = {key: known[key].of(name, spec) for key in spec.values}
    if not issubclass(cast(Any, part), Parametric):
        values = {key: known[key].accept(name, value) for key, value in values.items()}
        values = converted(part, values)
    return values


def make(kind: str, part: type[P], values: Mapping[str, Any]) -> P:
    """A class's object.

    Raises:
        UsageError: the class refuses a value, or its code raised something.
    """
    try:
        return part(**values)
    except WeftError:
        raise
    except Exception as e:
        raise UsageError(f"{sentence(kind, part, e)}; give it other parameters or mend it") from e
