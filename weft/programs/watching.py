"""Watching what calls generate, while it comes, and ending an answer before its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager

from weft.programs.scope import current, enter
from weft.types import Delta

Look = Callable[[Delta], int | None]
"""Looks at the next piece of an answer.

Gives with how many of the piece's tokens the answer ends; None lets the answer go on.
"""


class Monitor(ABC):
    """Watches answers while they come, and may end them.

    Where an answer ends must follow from its tokens and from `key` alone, not from how many come
    in a piece: a Store keeps an answer that was ended under its key.
    """

    @property
    @abstractmethod
    def key(self) -> str:
        """What tells this monitor from others, with all its parameters."""

    @abstractmethod
    def begin(self) -> Look:
        """What looks at one answer from its beginning on.

        An answer that begins anew on another engine gets a new look.
        """


@contextmanager
def watching(monitor: Monitor) -> Generator[None]:
    """Have a monitor look at all that `generate` asks for within the block.

    An answer that the monitor ends is aborted in its engine. It is a Completion like others, with
    the tokens up to there and the `finish_reason` "cut"; continuing it keeps their ids. Tokens
    that were under way behind it count as cancelled.
    """
    with enter(current().but(monitor=monitor)):
        yield
