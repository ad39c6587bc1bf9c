"""Allotment: samples shared out over questions that are answered side by side."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import anyio

from weft.search.answers.voting import Same, Votes

Worth = Callable[[tuple[int, ...]], float]
"""What a further sample is worth to a question with these votes for its answers, most first."""


@dataclass(order=True)
class _Offer:
    """A question that waits for samples, by what one more is worth to it."""

    loss: float
    order: int
    seat: Seat = field(compare=False)
    turn: int = field(compare=False)


class Allotment:
    """Decides which question gets the next sample.

    Each question begins with one sample. Of those that wait, the question is next to which a
    further sample is worth most. Samples under way count for the leader of their question until
    they are there. Never more than `samples` are given; a question that has yet to come has its
    first one kept for it. Questions of equal worth take turns in the order in which they came.

    Args:
        questions: how many there are.
        samples: how many there are for all questions together.
        at_once: how many may be under way.
        worth: what a further sample is worth.
        most: how many one question may get.
    """

    def __init__(self, questions: int, samples: int, at_once: int, worth: Worth, most: int) -> None:
        self._to_come, self._left, self._free = questions, samples, at_once
        self.worth, self.most = worth, most
        self._offers: list[_Offer] = []
        self._seated = 0

    def join(self, same: Same) -> Seat:
        """A question's place, to be entered.

        Args:
            same: whether two answers to it are the same.
        """
        self._to_come = max(0, self._to_come - 1)
        self._seated += 1
        return Seat(self, self._seated, same)

    @property
    def spent(self) -> bool:
        """Whether no question that is here can get another sample."""
        return self._left <= self._to_come

    def offer(self, seat: Seat) -> None:
        """A question waits."""
        heapq.heappush(self._offers, _Offer(-seat.worth(), seat.order, seat, seat.turns))
        self.share()

    def freed(self, samples: int = 1) -> None:
        """Samples have come, or never will."""
        self._free += samples
        self.share()

    def share(self) -> None:
        """Give what can be given, the question first to which it is worth most."""
        woken: list[Seat] = []
        while self._free > 0 and not self.spent and self._offers:
            offer = heapq.heappop(self._offers)
            seat = offer.seat
            if offer.turn != seat.turns or not seat.waits:
                continue
            self._free -= 1
            self._left -= 1
            seat.running += 1
            woken.append(seat)
            if seat.may_have_more():
                heapq.heappush(self._offers, _Offer(-seat.worth(), seat.order, seat, seat.turns))
        if self.spent:
            woken += [o.seat for o in self._offers]
            self._offers.clear()
        for seat in woken:
            seat.wake()


class Seat:
    """A question's place in an Allotment; leaving it gives back what is under way."""

    def __init__(self, allotment: Allotment, order: int, same: Same) -> None:
        self._allotment, self.order = allotment, order
        self._votes = Votes(same)
        self._came = 0
        self.running = 0
        self.turns = 0
        self._woken: anyio.Event | None = None

    def __enter__(self) -> Seat:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._woken = None
        running, self.running = self.running, 0
        self._allotment.freed(running)

    async def turn(self) -> int:
        """Wait until the question may draw samples; gives how many, 0 if it gets no more."""
        if self._allotment.spent or self._came >= self._allotment.most:
            return 0
        self.turns += 1
        self._woken = woken = anyio.Event()
        self._allotment.offer(self)
        await woken.wait()
        self._woken = None
        return self.running

    def came(self, index: int, value: str | None) -> None:
        """A sample is there; None if it has no answer, or failed."""
        self._votes.add(index, value)
        self._came += 1
        self.running -= 1
        self._allotment.freed()

    @property
    def waits(self) -> bool:
        """Whether the question waits for its turn."""
        return self._woken is not None

    def wake(self) -> None:
        """Its turn has come."""
        if self._woken is not None:
            self._woken.set()

    def may_have_more(self) -> bool:
        """Whether it may get another sample before one has come."""
        return self._came > 0 and self._came + self.running < self._allotment.most

    def worth(self) -> float:
        """What a further sample is worth: all there is, to a question without any."""
        if not self._came:
            return float("inf")
        counts = self._votes.counts
        lead, *others = (*counts, *[0] * (not counts))
        return self._allotment.worth((lead + self.running, *others))

    @property
    def votes(self) -> Votes:
        """The votes so far."""
        return self._votes
