"""Reservation: what one call holds of every budget in force, until its end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import TracebackType

import anyio

from weft.errors import BudgetExceeded
from weft.orchestrator.pool import Pool
from weft.programs.budgets.budget import budget
from weft.programs.budgets.limits import Amounts
from weft.types import NOTHING, Price, Usage

_UNKNOWN = 32_768
"""Tokens that an answer is taken to need at most, if neither program nor context says so."""

_STEP = 1024  # tokens by which a longer one goes on


class Reservation:
    """What a call holds, and the scope in which it is aborted when a budget ends.

        with Reservation(budgets) as held:
            await held.admit(pool, model, prompt_tokens, max_tokens)
            ...  # told of what is spent by `charge`

    Attributes:
        scope: of the call; cancelled when a limit is crossed.
        most_tokens: what the answer is held to; None leaves it to what the program asks.
        end: why the call was cut off, if it was.
        admitted: whether it was let in.

    Raises:
        BudgetExceeded: where the block is left, if a budget ended the call.
    """

    def __init__(self, budgets: Sequence[budget]) -> None:
        self._budgets = budgets
        self.scope = anyio.CancelScope(deadline=min(b.deadline for b in budgets))
        self.most_tokens: int | None = None
        self.end: BudgetExceeded | None = None
        self.admitted = False
        self._capped: tuple[budget, str] | None = None
        self._held = Amounts()
        self._left = 0.0  # tokens of an answer that are held
        self._queue: budget | None = None
        self._woken: anyio.Event | None = None
        self.waited = 0.0  # seconds, for what other calls held
        self._prompt, self._longest, self._promise = 0, math.inf, 0.0
        self._open = False
        self._prices = 0.0, 0.0

    def __enter__(self) -> Reservation:
        for b in self._budgets:
            b.check()
        for b in self._budgets:
            b.join(self)
        self.scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self._unqueue()
        self._give_back()
        for b in self._budgets:
            b.leave(self)
        swallowed = self.scope.__exit__(kind, error, trace)
        if self.scope.cancelled_caught:
            if self.end is None:
                for b in self._budgets:
                    b.check()
            assert self.end is not None, "a call was aborted by no budget"
            raise self.end
        return swallowed

    async def admit(
        self, pool: Pool, model: str, prompt: int, answer: int | None, price: Price | None = None
    ) -> None:
        """Wait until the call fits what is left, and hold as much of it.

        Args:
            pool: has prices and contexts.
            model: which is to answer.
            prompt: tokens of the prompt.
            answer: most tokens that the program asks for; None if it does not say; 0 where
                there is none, as with embeddings.
            price: of the model, where it is none of the pool's.

        Raises:
            BudgetExceeded: the call can't be afforded.
            UsageError: dollars are limited, and an engine has no price.
        """
        self._learn_prices(pool, model, price)
        self._prompt = prompt
        if answer is not None:
            self._longest = self._promise = answer
        else:
            context = pool.models.context(model)
            # A limit beyond what an engine can give is one that some refuse.
            self._longest = context - prompt if context is not None else _UNKNOWN
            self._promise = max(1, min(self._longest, _UNKNOWN))
            self._open = context is None or self._longest > _UNKNOWN
        try:
            while (full := self._look()) is not None:
                await self._wait(full)
        finally:
            self._unqueue()

    def refuse(self, pool: Pool, model: str, prompt: int) -> None:
        """Raise if a call would not be let in however long it waited.

        Args:
            pool: has prices.
            model: which is to answer.
            prompt: tokens of the prompt.

        Raises:
            BudgetExceeded: it would not.
            UsageError: dollars are limited, and an engine has no price.
        """
        self._learn_prices(pool, model)
        for b in self._budgets:
            b.check()
            for resource, _, ever in b.rooms(prompt, *self._prices):
                if ever < 1:
                    raise b.refusal(resource, prompt)

    def renew(self) -> None:
        """Hold as much once more, for an engine was lost and another is to try.

        Raises:
            BudgetExceeded: that can't be afforded.
        """
        self._give_back()
        want = self._promise
        for b, resource, now, _ in self._rooms():
            if now < 1:
                self.end = b.refusal(resource, self._prompt)
                raise self.end
            want = min(want, now)
        self._take(want)

    def charge(self, usage: Usage, *, last: bool = False) -> None:
        """Count what was spent; cut the call off if that is more than it may have.

        Args:
            usage: since the last time.
            last: whether the answer is complete.
        """
        held = self._held
        used = Amounts(
            min(held.calls, usage.calls),
            min(held.tokens, max(0, usage.total)),
            min(held.dollars, max(0.0, usage.dollars)),
        )
        held.add(used, -1)
        for b in self._budgets:
            b.held.add(used, -1)
            b.charge(usage)
        self._left -= usage.generated
        if not last and usage.generated > 0 and self._left < self._open:
            self._go_on()

    def take_back(self, usage: Usage) -> None:
        """Charge nothing after all, and hold as much as before.

        Args:
            usage: what was charged.

        Raises:
            BudgetExceeded: others have taken the room.
        """
        for b in self._budgets:
            b.charge(NOTHING - usage)
        self.renew()

    def check_end(self, generated: int | None) -> bool:
        """Whether an answer was ended by what a budget held it to; `end` then says so.

        Args:
            generated: its tokens, if they are known exactly.
        """
        if self._capped is None or self.most_tokens is None:
            return False
        if generated is not None and generated < self.most_tokens:
            return False
        b, resource = self._capped
        self.end = b.refusal(resource)
        return True

    def wake(self) -> None:
        """Look again whether there is room."""
        if self._woken is not None:
            self._woken.set()

    def wake_others(self) -> None:
        """Have calls look again that wait for room."""
        for b in self._budgets:
            b.wake()

    def _learn_prices(self, pool: Pool, model: str, price: Price | None = None) -> None:
        if any(b.limits.dollars is not None for b in self._budgets):
            for b in self._budgets:
                b.check_prices(pool.models.without_price())
            price = price or pool.models.dearest(model)
            self._prices = price.prompt / 1e6, price.completion / 1e6

    def _rooms(self) -> Iterator[tuple[budget, str, float, float]]:
        for b in self._budgets:
            for resource, now, ever in b.rooms(self._prompt, *self._prices):
                yield b, resource, now, ever

    def _look(self) -> budget | None:
        """Take what is needed; or the budget that has no room for it yet."""
        want = self._promise
        for b in self._budgets:
            b.check()
        for b, resource, _, ever in self._rooms():
            if ever < (1 if self._promise > 0 or resource == "calls" else 0):
                raise b.refusal(resource, self._prompt)
            want = min(want, ever)
        for b, _, now, _ in self._rooms():
            if now < want or (b.queue and next(iter(b.queue)) is not self):
                return b
        self._take(want)
        return None

    def _take(self, want: float) -> None:
        room, capped = min(
            ((now, (b, resource)) for b, resource, now, _ in self._rooms()),
            key=lambda found: found[0],
            default=(math.inf, None),
        )
        held_to = room if self._open else want
        if held_to < self._longest:
            self.most_tokens, self._capped = int(held_to), capped
        prompt_price, price = self._prices
        self._left = want
        self._held = Amounts(1, self._prompt + want, self._prompt * prompt_price + want * price)
        for b in self._budgets:
            b.held.add(self._held)
        self.admitted = True

    async def _wait(self, full: budget) -> None:
        if self._queue is not full:
            self._unqueue()
            self._queue = full
            full.queue[self] = None
        self._woken, since = anyio.Event(), anyio.current_time()
        await self._woken.wait()
        self.waited += anyio.current_time() - since

    def _unqueue(self) -> None:
        if (queue := self._queue) is not None:
            self._queue = None
            del queue.queue[self]
            queue.wake()

    def _give_back(self) -> None:
        for b in self._budgets:
            b.held.add(self._held, -1)
        self._held = Amounts()

    def _go_on(self) -> None:
        """Hold more for an answer that is longer than was held for it, or cut it off."""
        _, price = self._prices
        least = 1 if self._open else 0  # what is beyond its own share has been spent already
        step = float(_STEP)
        for b in self._budgets:
            for resource, now, _ in b.rooms(0, 0.0, price):
                if resource == "calls":
                    continue
                if now < least:
                    self.end = b.refusal(resource)
                    self.scope.cancel()
                    return
                step = min(step, now)
        if self._open:
            more = Amounts(0, step, step * price)
            self._held.add(more)
            self._left += step
            for b in self._budgets:
                b.held.add(more)
