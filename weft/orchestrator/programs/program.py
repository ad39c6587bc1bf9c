"""A program as the scheduler sees it: who asks, what it has had, and where its cache lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.trail import Trail

if TYPE_CHECKING:
    from weft.orchestrator.call import PromptMark
    from weft.orchestrator.dispatch.replica import Replica


MOST_PRECEDENCE = 1000
"""Of a program, and as much below 0."""
_PRECEDENCE = 10**12
"""Milliseconds by which programs of another precedence are apart: some thirty years."""


@dataclass(slots=True, eq=False)
class ToolWait:
    """What a program waits for other than an engine.

    Attributes:
        tool: its name.
        expects: seconds that the program expects it to take; None if it does not say.
        since: when it began, by the scheduler's clock.
    """

    tool: str
    expects: float | None
    since: float


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """What a program may spend at most, as far as that is limited.

    Attributes:
        deadline: when it must have ended, by the scheduler's clock.
        calls: calls in all, from its beginning.
        tokens: tokens in all, prompts included.
    """

    deadline: float | None = None
    calls: int | None = None
    tokens: int | None = None


@dataclass(slots=True, eq=False)
class Program:
    """One run, session or agent, from its first call to its end. Policies only read it.

    Attributes:
        id: unique among live programs.
        name: what it is a run of; profiles are kept under it.
        tenant: on whose behalf it runs.
        weight: of its tenant beside others.
        precedence: programs with a lower number go before others, whatever the policy says; those
            that it starts share it.
        arrived: when it began, or what it works for did, by the scheduler's clock.
        parent: the program that it works for; None if it works for none. Its budgets are the
            parent's.
        deadline: when it should have finished, if it has a limit of time: the first end of the
            budgets that are open around all that it does now.
        group: the fan-out of its parent in which it is a branch; None if it is in none.
        expected_calls: how many calls it has announced in all; None if it did not say.
        expected_tokens: how many tokens, prompts that are not cached and answers.
        most_calls: how many calls these budgets allow in all; None if they have no such limit.
        most_tokens: how many tokens they allow in all, prompts included; None without limit.
        calls: calls that have ended, those included that a Store answered.
        stored: how many of them a Store answered.
        running: calls that engines run now.
        waiting: calls that wait now.
        seconds: service had: seconds that its ended calls spent in engines, in sum.
        critical: seconds of service along the longest chain of its ended calls; of those that a
            Store answered, the seconds that they once took.
        waited: seconds that its calls have waited here, in sum.
        computed: tokens that engines computed for it, also for what a Store answered: prompts
            not cached, and answers.
        context: tokens of prompt and answer of its latest call. Of branches, which are calls of a
            fan-out and calls that others run beside, only those count that go on from the
            prompt of the latest call that was none: the program comes back to that one.
        trunk: by which the latter are known; None before the first.
        cached_at: the engine that ran the call of `context`.
        home: the engine that holds its cache: where it runs, or ran last.
        attached: tokens of context that count as its home's.
        claim: tokens of `home` that are kept for it while it runs no call; 0 without a claim.
        expires: when that claim ends.
        displaced: whether the claim was given to others since its last call.
        rank: claims of the lowest rank yield first.
        acting: when its last call ended, or what it waits for began, while it has no call;
            None while it has one.
        tool: what it does meanwhile, or did last: the tool that it waits for, by its own name,
            or which its last answer asked for; empty if neither is known.
        expects: seconds that it expects the tool to take, if it said so.
        waits: what it waits for now, the latest last.
        timed: whether it told what it waited for since its last call, so that the time between
            its calls says nothing of tools.
        silent: whether it may end without a word, as clients of a service do.
        in_block: whether a block of code holds it, which tells of its end: until then it is not
            forgotten, however long it does nothing.
        branches: whether it was seen to run calls side by side, so that one does not go on from
            the other.
        ended: whether it is over, as far as is known.
        bounds: those of the budgets that are open around all that it does now, outermost first.
        trail: the steps that it has taken.
    """

    id: str
    name: str = ""
    tenant: str = ""
    weight: float = 1.0
    arrived: float = 0.0
    parent: Program | None = None
    deadline: float | None = None
    group: CallGroup | None = None
    expected_calls: int | None = None
    expected_tokens: int | None = None
    most_calls: int | None = None
    most_tokens: int | None = None
    calls: int = 0
    stored: int = 0
    running: int = 0
    waiting: int = 0
    seconds: float = 0.0
    critical: float = 0.0
    waited: float = 0.0
    computed: int = 0
    context: int = 0
    trunk: PromptMark | None = None
    cached_at: Replica | None = None
    home: Replica | None = None
    attached: int = 0
    claim: int = 0
    displaced: bool = False
    expires: float = 0.0
    rank: float = 0.0
    acting: float | None = None
    tool: str = ""
    expects: float | None = None
    waits: tuple[ToolWait, ...] = ()
    timed: bool = False
    bounds: tuple[Bounds, ...] = ()
    silent: bool = False
    in_block: bool = False
    branches: bool = False
    ended: bool = False
    precedence: int = 0
    trail: Trail = field(default_factory=Trail)

    @property
    def resident(self) -> bool:
        """Whether it has room on its home: it runs there, or holds a claim."""
        return self.running > 0 or self.claim > 0

    @property
    def active(self) -> bool:
        """Whether it is resident, or a program that it works for is.

        An active program is let in before others: room would else be held by those that wait
        for it.
        """
        at: Program | None = self
        while at is not None and not at.resident:
            at = at.parent
        return at is not None

    @property
    def priority(self) -> int:
        """For engines that schedule by priority: programs in the order in which they began.

        It is when the program began, in milliseconds; those that it starts share it. So an engine
        that is short of KV preempts the youngest program, not one that has most to lose.
        Precedence comes before that.
        """
        return round(1000 * self.arrived) + _PRECEDENCE * self.precedence

    def answered(self, path: float, computed: int, seconds: float) -> None:
        """A call has ended that a Store answered.

        Args:
            path: `critical` when the program made it.
            computed: tokens that an engine once computed for it.
            seconds: that this took.
        """
        self.calls += 1
        self.stored += 1
        self.computed += computed
        self.critical = max(self.critical, path + seconds)

    def away_for(self, seconds: float, now: float) -> None:
        """It has had no call for so long, if it has none: what a Store answered was one.

        Not while it holds a claim, whose time runs from the last call that an engine ran.
        """
        if self.acting is not None and not self.claim:
            self.acting = now - seconds

    def bind(self, bounds: Bounds) -> None:
        """A budget is opened around all that it does from now on."""
        if not self.bounds:
            self.bounds = (Bounds(self.deadline, self.most_calls, self.most_tokens),)
        self.bounds += (bounds,)
        self._narrow()

    def unbind(self, bounds: Bounds) -> None:
        """That budget is closed."""
        self.bounds = tuple([b for b in self.bounds if b is not bounds])
        self._narrow()

    def _narrow(self) -> None:
        self.deadline = least(b.deadline for b in self.bounds)
        self.most_calls = least(b.calls for b in self.bounds)
        self.most_tokens = least(b.tokens for b in self.bounds)


N = TypeVar("N", int, float)


def least(limits: Iterable[N | None]) -> N | None:
    """The smallest of some limits; None if there is none."""
    return min((limit for limit in limits if limit is not None), default=None)
