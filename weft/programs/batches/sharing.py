"""Sharing: what the inputs of a batch have in common is computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import anyio

from weft.programs.batches.neighbours import Neighbours

if TYPE_CHECKING:
    from weft.programs.history.outcome import Outcome
    from weft.programs.scope import Scope


class SharedCall(Protocol):
    """A call that another input may make too."""

    async def run(self) -> Outcome:
        """Make it."""
        ...

    async def repeat(self, first: Outcome) -> Outcome:
        """Take what the same call of another input gave."""
        ...

    def break_off(self, error: BaseException) -> None:
        """It ends while it waits for the same call of another input."""
        ...


class BatchPlace(NamedTuple):
    """Which input of which batch the code works for.

    Attributes:
        sharing: what the inputs know of each other.
        number: of the input.
    """

    sharing: Sharing
    number: int


class _Made:
    """A call that is made, or was: nobody else makes it meanwhile."""

    __slots__ = ("outcome", "over")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.over = anyio.Event()


class Sharing:
    """What the inputs of a batch know of each other's calls.

    Two calls are the same if model, Prompt, settings and index are, and if chance has no part in
    their answers. The first input that makes such a call makes it for all. If it breaks off,
    because its input fails, is cancelled or has no budget left, the next one that waits makes the
    call itself: no input is harmed by another.

    Attributes:
        shared: calls that were not made, since an equal one was.
        neighbours: ranks the prompts of calls.
    """

    def __init__(self) -> None:
        self.shared = 0
        self.neighbours = Neighbours()
        self._made: dict[str, _Made] = {}

    async def once(self, key: str, call: SharedCall, scope: Scope) -> Outcome:
        """The outcome of a call: its own, or that of an equal one.

        Args:
            key: the same for equal calls.
            call: makes it.
            scope: where in which run.
        """
        while (made := self._made.get(key)) is not None:
            if made.outcome is None:
                try:
                    with scope.branches(-1):
                        await made.over.wait()
                except BaseException as error:
                    call.break_off(error)
                    raise
            if made.outcome is not None:
                self.shared += 1
                return await call.repeat(made.outcome)
        made = self._made[key] = _Made()
        try:
            made.outcome = await call.run()
            return made.outcome
        finally:
            if made.outcome is None:
                del self._made[key]
            made.over.set()
