"""A program as the scheduler sees it: who asks, what it has had, and where its cache lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.replica import Replica


@dataclass(slots=True, eq=False)
class Program:
    """One run, session or agent, from its first call to its end. Policies only read it.

    Attributes:
        id: unique among live programs.
        name: what it is a run of; profiles are kept under it.
        tenant: on whose behalf it runs.
        weight: of its tenant beside others.
        arrived: when it began, by the scheduler's clock.
        deadline: when it should have finished, if it has a limit of time.
        expected_calls: how many calls it has announced in all; None if it did not say.
        most_calls: how many calls its budget allows; None if it has no such limit.
        most_tokens: how many tokens its budget allows, prompts included; None without limit.
        calls: calls that have ended.
        running: calls that engines run now.
        waiting: calls that wait now.
        seconds: service had: seconds that its ended calls spent in engines, in sum.
        critical: seconds of service along the longest chain of its ended calls.
        waited: seconds that its calls have waited here, in sum.
        computed: tokens that engines computed for it: prompts not cached, and answers.
        context: tokens of prompt and answer of its latest call.
        home: the engine that holds its cache: where it runs, or ran last.
        attached: tokens of context that count as its home's.
        claim: tokens of `home` that are kept for it while it runs no call; 0 without a claim.
        expires: when that claim ends.
        rank: claims of the lowest rank yield first.
        acting: when its last call ended, while it has no call; None while it has one.
        tool: what it does meanwhile, if its last answer told, or else the stage of that call.
        silent: whether it may end without a word, as clients of a service do.
        held: whether a block of code holds it, which tells of its end: until then it is not
            forgotten, however long it does nothing.
        ended: whether it is over, as far as is known.
    """

    id: str
    name: str = ""
    tenant: str = ""
    weight: float = 1.0
    arrived: float = 0.0
    deadline: float | None = None
    expected_calls: int | None = None
    most_calls: int | None = None
    most_tokens: int | None = None
    calls: int = 0
    running: int = 0
    waiting: int = 0
    seconds: float = 0.0
    critical: float = 0.0
    waited: float = 0.0
    computed: int = 0
    context: int = 0
    home: Replica | None = None
    attached: int = 0
    claim: int = 0
    expires: float = 0.0
    rank: float = 0.0
    acting: float | None = None
    tool: str = ""
    silent: bool = False
    held: bool = False
    ended: bool = False

    @property
    def resident(self) -> bool:
        """Whether it has room on its home: it runs there, or holds a claim."""
        return self.running > 0 or self.claim > 0
