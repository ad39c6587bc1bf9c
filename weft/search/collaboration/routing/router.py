"""Router: gives each question the arm that brought most for questions like it."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from weakref import WeakKeyDictionary

import anyio

from weft.orchestrator.pool import Pool
from weft.search.collaboration.routing.contexts import Contexts
from weft.search.collaboration.routing.linear_arms import LinearArms

_MOST = 64
_learned: WeakKeyDictionary[Pool, OrderedDict[str, Router]] = WeakKeyDictionary()
"""The routers of questions that come alone, by pool; those used last."""


@dataclass(frozen=True)
class Feedback:
    """What an arm brought for a question: accuracy from 0 to 1, and cost."""

    arm: str
    accuracy: float
    cost: float


class Router:
    """Decides for questions, in the order in which they come.

    Args:
        weight: of cost against accuracy.
        explore: the rule by which arms are tried.
        ahead: how many questions may be without feedback. Then the decision for a question rests
            on the feedback of all before it but the last so many, and does not depend on time.
            None waits for nothing, and takes what feedback there is.
    """

    def __init__(self, weight: float, explore: str, ahead: int | None = None) -> None:
        self.arms, self._contexts = LinearArms(Contexts.size, weight, explore), Contexts()
        self._ahead = ahead
        self._waiting: deque[Turn] = deque()
        self._decided: deque[Turn] = deque()

    def join(self, arms: Sequence[str], text: str, seed: int) -> Turn:
        """A question's turn, to be entered.

        Args:
            arms: names of those that may answer it.
            text: the question.
            seed: from which the rule draws.
        """
        turn = Turn(self, arms, text, seed)
        self._waiting.append(turn)
        self._go_on()
        return turn

    def left(self, turn: Turn) -> None:
        """There will be no further feedback for a question."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif self._ahead is None:
            self._decided.remove(turn)
            self._learn(turn)
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting:
            if self._ahead is not None and len(self._decided) >= self._ahead:
                if not self._decided[0].over:
                    return
                self._learn(self._decided.popleft())
            turn = self._waiting.popleft()
            turn.context = self._contexts.of(turn.text)
            turn.taught_by = sum(self.arms.counts.values())
            turn.ranked = self.arms.rank(turn.arms, turn.context, random.Random(turn.seed))
            self._decided.append(turn)
            turn.comes.set()

    def _learn(self, turn: Turn) -> None:
        if turn.feedback is not None:
            one = turn.feedback
            self.arms.learn(one.arm, turn.context, one.accuracy, one.cost)


class Turn:
    """A question's turn to be given an arm.

    Attributes:
        taught_by: upon how many answers the decision rests.
        feedback: what the arm brought; None as long as nothing is known, which teaches nothing.
    """

    def __init__(self, router: Router, arms: Sequence[str], text: str, seed: int) -> None:
        self._router, self.arms, self.text, self.seed = router, arms, text, seed
        self.comes = anyio.Event()
        self.over = False
        self.taught_by = 0
        self.context: tuple[float, ...] = ()
        self.ranked: list[str] = []
        self.feedback: Feedback | None = None

    def __enter__(self) -> Turn:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over = True
        self._router.left(self)

    async def ranking(self) -> list[str]:
        """The arms, the one that promises most first; waits until it is the question's turn."""
        await self.comes.wait()
        return self.ranked


def router_of(pool: Pool, key: str, make: Callable[[], Router]) -> Router:
    """What a pool's questions that came alone have taught, under a key."""
    routers = _learned.setdefault(pool, OrderedDict())
    router = routers.setdefault(key, make())
    routers.move_to_end(key)
    while len(routers) > _MOST:
        routers.popitem(last=False)
    return router
