"""Registry: where the parts of one kind are known by name, weft's own and those of users.

A part is known by name once its class is marked: as weft's own are, by a file that was
imported, or by an installed package that names it as an entry point of the kind's group.
Any other is named where it stands, `FILE.py:NAME` or `module:NAME`.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from weft.errors import UnknownName, UsageError, WeftError
from weft.parts.entry_points import bringer, brought, imported
from weft.parts.faults import place_of
from weft.parts.importing import load, may_import, reference
from weft.parts.making import build
from weft.parts.parameters import Parametric
from weft.parts.signature import parameters
from weft.parts.spec import Spec, read_spec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
P = TypeVar("P")
C = TypeVar("C", bound=type[Any])
_NAME = re.compile(r"[A-Za-z_]\w*")


class PartRegistry(Generic[T]):
    """The parts of one kind.

    Args:
        kind: what one is called in messages: `strategy`.
        base: the class that each part's class extends.
        mark: the decorator that makes a class known, for messages.
        group: entry points of packages that bring such parts.
        own: modules of weft that mark weft's own, imported when a name is looked up.
        short: reads other ways to write a part; None for what it does not know.
        also: what a part's class may extend instead.
        nameless: a class that is named where it stands needs no mark.
    """

    def __init__(
        self,
        kind: str,
        base: type[T],
        *,
        mark: str,
        group: str,
        own: Sequence[str] = (),
        short: Callable[[str], T | None] | None = None,
        also: type[Any] | None = None,
        nameless: bool = False,
    ) -> None:
        self.kind, self.base, self.mark, self.group = kind, base, mark, group
        self._own, self._short, self._nameless = own, short, nameless
        self._bases = (base,) if also is None else (base, also)
        self._known: dict[str, type[T]] = {}
        if issubclass(base, Parametric):
            base.registry = self

    def add(self, name: str, part: type[T]) -> None:
        """Make a class known; one from the same place before is replaced.

        Raises:
            UsageError: another class has the name, it can't be written in a spec, a parameter
                has no default, or the class does not extend the kind's.
        """
        self.check_name(name)
        if not isinstance(cast(object, part), type) or not issubclass(part, self._bases):
            raise self._unfit(f"what is marked @{self.mark}({name!r}) at {place_of(part)}")
        if not part.__module__.startswith("weft."):
            self._import_own()
        there = self._known.get(name)
        if there is not None and not _replaces(part, there):
            raise self._twice(name, place_of(there), place_of(part))
        parameters(part)
        self._known[name] = part

    def check_name(self, name: object) -> None:
        """See that a spec can name a part so, as soon as a class is to be marked.

        Raises:
            UsageError: it can't.
        """
        if not isinstance(name, str):
            raise UsageError(
                f"@{self.mark} needs a name, by which specs name the {self.kind}; write "
                f"@{self.mark}(NAME)"
            )
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is no name for {_one(self.kind)}; take letters, digits and underscores"
            )

    def mark_as(self, name: str) -> Callable[[C], C]:
        """The decorator that makes a class a frozen dataclass and a part that specs call `name`.

        Each kind's own one calls it, for type checkers read its `dataclass_transform` there.
        """
        self.check_name(name)

        def mark(cls: C) -> C:
            if not isinstance(cast(object, cls), type):
                raise self._unfit(f"what is marked @{self.mark}({name!r}) at {place_of(cls)}")
            cls.name = name
            made = dataclass(frozen=True)(cls)
            self.add(name, made)
            return made

        return mark

    def parse(self, spec: str | Spec | Mapping[str, Any] | T) -> T:
        """The part that a spec describes.

        Args:
            spec: a text such as `majority(n=8)` or `mine.py:Brisk(most=2)`, or the same as
                YAML reads it: `{majority: {n: 8}}`.

        Raises:
            UnknownName: there is no such part or parameter.
            UsageError: the text is malformed, a value is not allowed, or the part's own code
                raised something.
        """
        if isinstance(spec, self.base):
            return spec
        if isinstance(spec, str) and self._short and (made := self._short(spec)) is not None:
            return made
        read = spec if isinstance(spec, Spec) else read_spec(cast(Any, spec), self.kind)
        part = self.find(read.name)
        return build(self.kind, part, read)

    def find(self, name: str) -> type[T]:
        """The class of a name, of `FILE.py:NAME` or of `module:NAME`.

        Raises:
            UnknownName: there is none.
            UsageError: a package brings a name that is taken, or importing failed.
        """
        if (referred := reference(name)) is not None:
            return self._referred(*referred)
        self._import_own()
        part = self._known.get(name)
        offers = [e for e in brought(self.group) if e.name == name]
        if part is not None:
            offers = [e for e in offers if e.value != f"{part.__module__}:{part.__qualname__}"]
            if not offers:
                return part
        places = [*([place_of(part)] if part is not None else []), *map(bringer, offers)]
        if len(places) > 1:
            raise self._twice(name, *places[:2])
        if not offers:
            raise UnknownName(self.kind, name, self.names())
        if not may_import():
            raise UsageError(
                f"{self.kind} {name!r} can't be imported from here; use one that is loaded"
            )
        return self._load(offers[0])

    def names(self) -> list[str]:
        """All names, those of packages included; nothing of these is imported."""
        self._import_own()
        return sorted({*self._known, *(offer.name for offer in brought(self.group))})

    def known(self) -> Mapping[str, type[T]]:
        """The classes that are marked by now, by name."""
        self._import_own()
        return MappingProxyType(self._known)

    def load_brought(self) -> list[str]:
        """Import all parts of packages, and tell what is wrong with those that can't be."""
        self._import_own()
        wrong: list[str] = []
        for offer in brought(self.group):
            try:
                self._load(offer)
            except WeftError as e:
                wrong.append(str(e))
        return wrong

    def listed(self) -> tuple[list[Listed], list[str]]:
        """All parts, those of packages imported, and what is wrong with packages' parts."""
        wrong = self.load_brought()
        found = [Listed(name, self.origin(part), part) for name, part in self._known.items()]
        return sorted(found, key=lambda one: one.name), wrong

    def origin(self, part: type[T]) -> str:
        """Where a part comes from: `weft`, a package with its version, or `file:line`."""
        if part.__module__.startswith("weft."):
            return "weft"
        value = f"{part.__module__}:{part.__qualname__}"
        for offer in brought(self.group):
            if offer.value == value and offer.dist is not None:
                return f"{offer.dist.name} {offer.dist.version}"
        return place_of(part)

    def source(self, part: type[T]) -> str | None:
        """What to import for a part to be known by name again; None if nothing needs to be."""
        if place_of(part) != self.origin(part):
            return None  # weft's own, or a package's entry point
        if "." in part.__module__:
            return part.__module__
        return getattr(sys.modules.get(part.__module__), "__file__", None)

    def _import_own(self) -> None:
        for module in self._own:
            importlib.import_module(module)
        for name, part in list(self._known.items()):
            if not part.__module__.startswith("weft.") and not _there(part):
                del self._known[name]

    def _referred(self, where: str, name: str) -> type[T]:
        module = load(where)
        part = vars(module).get(name)
        if part is None:
            part = self._marked_in(module).get(name)
        if part is None:
            mine = [
                key
                for key, value in vars(module).items()
                if isinstance(value, type)
                and issubclass(value, self._bases)
                and value.__module__ == module.__name__
            ]
            if not mine:
                raise UsageError(
                    f"{where} has no {self.kind} {name!r}, nor any other; mark a class "
                    f"@{self.mark}(NAME) in it"
                )
            raise UnknownName(f"{self.kind} in {where}", name, mine)
        return self._fitting(part, f"{name} in {where}")

    def _marked_in(self, module: ModuleType) -> dict[str, type[T]]:
        return {n: c for n, c in self._known.items() if c.__module__ == module.__name__}

    def _load(self, offer: EntryPoint) -> type[T]:
        part = imported(offer, self.kind)
        found = self._fitting(part, f"{self.kind} {offer.name!r} of {bringer(offer)}")
        name = next((n for n, c in self._known.items() if c is found), offer.name)
        if name != offer.name:
            raise UsageError(
                f"{bringer(offer)} brings the {self.kind} {name!r} under the name "
                f"{offer.name!r}; give its entry point the same name"
            )
        if self._known.get(name) is not found:
            self.add(name, found)
        return found

    def _fitting(self, part: object, what: str) -> type[T]:
        """A class as one of this kind."""
        if not isinstance(part, type) or not issubclass(part, self._bases):
            raise self._unfit(what)
        missing = sorted(
            name
            for name in dir(part)
            if getattr(getattr(part, name, None), "__isabstractmethod__", False)
        )
        if missing:
            raise UsageError(
                f"{place_of(part)}: {what} has no {' and no '.join(missing)}; write it"
            )
        if not self._nameless and not any(known is part for known in self._known.values()):
            raise UsageError(f"{what} has no name; mark the class @{self.mark}(NAME)")
        return cast("type[T]", part)

    def _unfit(self, what: str) -> UsageError:
        return UsageError(
            f"{what} is no {self.kind}; it must be a class that extends {_public(self.base)}, "
            f"marked @{self.mark}(NAME)"
        )

    def _twice(self, name: str, first: str, second: str) -> UsageError:
        return UsageError(
            f"the name {name!r} is that of two {plural(self.kind)}: {first} and {second}; give "
            "one of them another name"
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """A part in a listing.

    Attributes:
        name: in specs.
        origin: `weft`, a package with its version, or `file:line`.
        part: its class.
    """

    name: str
    origin: str
    part: type[Any]


def _one(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _public(base: type) -> str:
    """The name by which users import a class: that of the largest room which exports it."""
    rooms = base.__module__.split(".")
    for end in range(1, len(rooms)):
        room = ".".join(rooms[:end])
        if base.__name__ in getattr(sys.modules.get(room), "__all__", ()):
            return f"{room}.{base.__name__}"
    return f"{base.__module__}.{base.__name__}"


def plural(kind: str) -> str:
    """The name of a kind, for several."""
    if kind.endswith("s"):
        return f"{kind}es"
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


def _replaces(new: type, old: type) -> bool:
    """Whether a class is another's next version: a cell run again, a module reloaded."""
    same = (new.__module__, new.__qualname__) == (old.__module__, old.__qualname__)
    return same or not _there(old)


def _there(part: type) -> bool:
    """Whether a class is still where it was defined, rather than unloaded or replaced."""
    module = sys.modules.get(part.__module__)
    if module is None or "." in part.__qualname__:
        return module is not None
    return vars(module).get(part.__qualname__, part) is part
