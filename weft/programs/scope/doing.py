"""What a part of a program does while it runs: as long as it makes no call, it is a tool."""

from __future__ import annotations

from weft.errors import UsageError


class Doing:
    """A part of a program while it runs: it is a tool as long as it makes no call.

    Args:
        outer: the part that this one runs in, if there is one.
        told: whether the scheduler was told that the program waits for it, or for an outer one.
        deed: the name of the function that it is, if the function is done once for a run.

    Attributes:
        calls: whether it has made a call.
    """

    __slots__ = ("calls", "deed", "outer", "told")

    def __init__(self, outer: Doing | None, told: bool, deed: str = "") -> None:
        self.outer, self.told, self.deed, self.calls = outer, told, deed, False

    def call(self) -> None:
        """A call is made in it, and so in all that it runs in.

        Raises:
            UsageError: it runs in a function that is done once.
        """
        at: Doing | None = self
        while at is not None and not at.calls:
            if at.deed:
                raise UsageError(
                    f"{at.deed} is done @once, so it can't ask a model: a run that is resumed "
                    f"would not ask again; ask before, and give {at.deed} the answer"
                )
            at.calls = True
            at = at.outer
