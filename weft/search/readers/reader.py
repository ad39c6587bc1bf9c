"""Reader: reads an answer out of a text, and says which answers are the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from operator import eq
from typing import Any, ClassVar, TypeVar, dataclass_transform

from weft.parsers.thinking import visible
from weft.parts.faults import blaming, expect, truth
from weft.parts.parameters import Parametric
from weft.parts.registry import PartRegistry


class Reader(Parametric, ABC):
    """Reads the answer out of what a model wrote, and says which answers are the same.

    Subclasses are marked with `@reader(name)`, which makes them frozen dataclasses whose fields
    are their parameters. Only `read` must be written.

    Attributes:
        slow: whether `same` may take long: it is then asked in a thread, and must remember.
    """

    slow: ClassVar[bool] = False

    @abstractmethod
    def read(self, text: str) -> str | None:
        """The answer in a text; None if there is no answer in it.

        One answer should always be written in one way, such as `0.5` for .50 and 1/2.

        Args:
            text: what a model wrote after its thinking.
        """

    def read_alone(self, text: str) -> str | None:
        """The answer that a text is, such as the right answer in a file of problems.

        By default this is what `read` finds in the text.
        """
        return self.read(text)

    def read_cut(self, text: str) -> str | None:
        """The answer in a text that its limit of tokens cut off; by default there is none.

        What stands last in such a text is where it was cut, and not what it comes to.
        """
        return None

    def same(self, a: str, b: str) -> bool:
        """Whether two answers mean the same though they are written differently; by default no.

        If a is the same as b, and b the same as c, then a must be the same as c.
        """
        return False

    def __call__(self, text: str) -> str | None:
        """The answer of what a model wrote; None without one, or where its thinking has no end.

        Raises:
            PartFailed: the reader's code raised an exception that is not weft's.
        """
        return self._visible(self.read, text)

    def cut(self, text: str) -> str | None:
        """What `read_cut` gives; None where the text's thinking has no end.

        Raises:
            PartFailed: the reader's code raised an exception that is not weft's.
        """
        return self._visible(self.read_cut, text)

    def alone(self, text: str) -> str | None:
        """What `read_alone` gives.

        Raises:
            PartFailed: the reader's code raised an exception that is not weft's.
        """
        return self._guarded(self.read_alone, text)

    @property
    def equality(self) -> Callable[[str, str], bool]:
        """What compares two answers: `agree`, or plain equality if `same` is not written."""
        return eq if type(self).same is Reader.same else self.agree

    def agree(self, a: str, b: str) -> bool:
        """Whether two answers are equal, or the same for `same`.

        Raises:
            PartFailed: the reader's code raised an exception that is not weft's.
        """
        if a == b:
            return True
        with blaming("reader", type(self)):
            return truth(self.same(a, b), "same")

    def _visible(self, read: Callable[[str], str | None], text: str) -> str | None:
        body = visible(text)
        return None if body is None else self._guarded(read, body)

    def _guarded(self, read: Callable[[str], str | None], text: str) -> str | None:
        with blaming("reader", type(self)):
            found = read(text)
            return None if found is None else expect(found, str, "read")


READERS = PartRegistry(
    "reader",
    Reader,
    mark="reader",
    group="weft.readers",
    own=[
        f"weft.search.readers.{file}"
        for file in (
            "number",
            "choice",
            "math",
            "text",
            "final",
            "json_value",
            "code",
            "countdown",
            "grid",
        )
    ],
)
R = TypeVar("R", bound=type[Reader])


@dataclass_transform(frozen_default=True)
def reader(name: str) -> Callable[[R], R]:
    """Make a class a reader that specs call `name`."""
    return READERS.mark_as(name)


def parse_reader(spec: str | Mapping[str, Any] | Reader) -> Reader:
    """The reader that a spec describes, such as `number` or `mine.py:Units`.

    Raises:
        UnknownName: there is no such reader or parameter.
        UsageError: the text is malformed, or a value is not allowed.
    """
    return READERS.parse(spec)
