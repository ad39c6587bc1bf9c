"""Window: how many programs an engine holds, found by trying."""

from __future__ import annotations

import math

_CALM = 0.8  # share of KV up to which one program more is tried
_FULL = 0.95  # share from which on there are too many


class Window:
    """Additive increase and multiplicative decrease (Chiu and Jain 1989), on the KV in use.

    There is no limit until KV is full for the first time, or the engine preempts. Then the limit
    is half of the programs that live there. It grows by one after as many calls as it allows
    programs, while it is what keeps others out and KV is not nearly full. After a cut as many
    calls go by before the next: what was let in too early needs time to leave.

    Attributes:
        limit: programs that may live on the engine; infinite as long as it was never full.
    """

    __slots__ = ("_calls", "_settled", "limit")

    def __init__(self) -> None:
        self.limit = math.inf
        self._calls = 0
        self._settled = True

    def note(self, programs: int, use: float) -> None:
        """A call has ended.

        Args:
            programs: that live on the engine.
            use: the share of its KV that they take.
        """
        self._calls += 1
        if self._calls < self.limit and self._calls < programs:
            return
        self._settled = True
        if use >= _FULL:
            self._halve(programs)
        elif use < _CALM and programs >= self.limit:
            self.limit, self._calls = self.limit + 1, 0

    def preempted(self, programs: int) -> None:
        """The engine threw running requests out, since it had not KV enough for all.

        Args:
            programs: that live on the engine.
        """
        if self._settled:
            self._halve(programs)

    def _halve(self, programs: int) -> None:
        self.limit, self._calls = float(max(1, programs // 2)), 0
        self._settled = False
