"""Engine kinds: what an engine's spec may name, weft's own and those of users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeVar

from weft.backends.engine import Engine
from weft.errors import UsageError
from weft.parts.registry import PartRegistry
from weft.parts.signature import parameters

Say = Callable[[str], None]
"""Takes a sentence on how it goes."""


class EngineKind(ABC):
    """Opens the engines of one spec: several replicas, or what must be started and stopped.

    Where one spec is one engine, the engine's class itself is the kind. Subclasses are marked
    with `@engine_kind(name)`; parameters are those of `__init__`, and only `open` must be
    written. Where a spec leaves out `model`, `api_key` or `replicas`, parameters of these names
    are what the command line or the configuration says.

    Attributes:
        verbatim: what follows the colon of a spec is taken as it is, and no options follow.
        starts: whether `open` may start something, such as a server; `weft serve --check` then
            does not open the kind.
    """

    verbatim: ClassVar[bool] = False
    starts: ClassVar[bool] = True

    @classmethod
    def read(cls, text: str) -> Mapping[str, str]:
        """The parameters that a spec gives behind its colon: the first one, by default."""
        return first_parameter(cls, text)

    @abstractmethod
    def open(self, say: Say) -> AbstractAsyncContextManager[Sequence[Engine]]:
        """The engines, ready to be connected, for as long as the block lasts.

        Args:
            say: told how it goes, where it takes long.

        Raises:
            UsageError: they can't be had as asked.
            EngineUnavailable: one did not start.
        """


def first_parameter(kind: type[Any], text: str) -> Mapping[str, str]:
    """A text as the value of a class's first parameter."""
    known = parameters(kind)
    if not known:
        raise UsageError(f"engine {kind.__name__} has no parameters; leave out :{text}")
    return {known[0].name: text}


KINDS: PartRegistry[Any] = PartRegistry(
    "engine",
    Engine,
    also=EngineKind,
    mark="engine_kind",
    group="weft.engines",
    own=["weft.backends.kinds.own"],
    nameless=True,
)
K = TypeVar("K", bound=type[Engine] | type[EngineKind])


def engine_kind(name: str) -> Callable[[K], K]:
    """Make a class what specs call `name`: `name:TEXT`, or `name(parameter=value)`."""
    KINDS.check_name(name)

    def mark(cls: K) -> K:
        KINDS.add(name, cls)
        return cls

    return mark
