"""Policy: the scheduler's decisions, as pure functions of what it can see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from weft.orchestrator.call import Call


class EngineView(Protocol):
    """What a policy may know of an engine."""

    @property
    def name(self) -> str:
        """The engine's name."""
        ...

    @property
    def in_flight(self) -> int:
        """Calls that weft has running there."""
        ...

    @property
    def reserved(self) -> int:
        """Tokens of KV that those calls may come to need, shared prefixes counted once."""
        ...

    def cached(self, call: Call) -> int:
        """Tokens of the call's prompt that the engine's prefix cache probably holds."""
        ...


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a call goes, and why."""

    engine: EngineView
    reason: str


class Policy(ABC):
    """Decides which waiting call is next and where it runs.

    Decisions are pure: they look at views and return a decision.
    """

    def order(self, call: Call, arrival: int) -> tuple[float, ...]:
        """The call's place among those that wait, smallest first; ties go by arrival."""
        return (arrival,)

    @abstractmethod
    def place(self, call: Call, engines: Sequence[EngineView]) -> Placement:
        """One of `engines`, each of which serves the model and has room now (never empty)."""


class PrefixPolicy(Policy):
    """First come, first served; where most of the prompt is cached, weighed against load.

    The cost of an engine is what it would have to prefill, in tokens, plus `load_tokens` for
    each call in flight there; ties go to the one with less KV in use.

    Args:
        load_tokens: how many tokens of prefill one call in flight outweighs.
    """

    def __init__(self, load_tokens: float = 32) -> None:
        self.load_tokens = load_tokens

    def place(self, call: Call, engines: Sequence[EngineView]) -> Placement:
        """The cheapest engine."""
        if len(engines) == 1:
            return Placement(engines[0], "the only engine with room")

        def cost(engine: EngineView) -> tuple[float, int]:
            uncached = call.prompt_tokens - engine.cached(call)
            return uncached + self.load_tokens * engine.in_flight, engine.reserved

        best = min(engines, key=cost)
        cached = best.cached(call)
        return Placement(
            best, f"{cached} of {call.prompt_tokens} tokens cached, {best.in_flight} in flight"
        )
