"""What a policy is shown, as plain data: decisions are pure, so the answers are exact."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.program import Program


@dataclass
class Engine:
    name: str = "a"
    capacity: int = 10_000
    concurrency: int = 8
    draining: bool = False
    in_flight: int = 0
    queued: int = 0
    programs: int = 0
    reserved: int = 0
    claims: int = 0
    attached: int = 0
    window: float = math.inf
    weakest: Program | None = None
    held: int = 0  # tokens of any prompt that are cached
    prefill_rate: float = 0.0
    decode: float = 0.0

    @property
    def claimed(self) -> int:
        return self.reserved + self.claims

    def has_room(self, call: Any) -> bool:
        if self.in_flight >= self.concurrency:
            return False
        return not self.in_flight or self.reserved + self.need(call) <= self.capacity

    def cached(self, call: Any) -> int:
        return min(self.held, call.prompt_tokens)

    def need(self, call: Any) -> int:
        return call.prompt_tokens + call.answer_tokens

    def prefill_seconds(self, tokens: int) -> float:
        return tokens / self.prefill_rate if self.prefill_rate else 0.0

    def decode_seconds(self, batch: int) -> float:
        return self.decode


def at(engine: Any, id: str = "p", claim: int = 500, **more: Any) -> Program:
    """A program that is at home on an engine, with a claim there."""
    return Program(id, home=engine, claim=claim, **more)


@dataclass
class Call:
    program: Program = field(default_factory=lambda: Program("p"))
    id: str = "c"
    stage: str = ""
    arrival: int = 0
    since: float = 0.0
    siblings: int = 1
    group: CallGroup | None = None
    rank: tuple[int, ...] = ()
    deadline: float | None = None
    calls_left: int | None = None
    tokens_left: int | None = None
    prompt_tokens: int = 1000
    answer_tokens: int = 100
    fair_start: float = 0.0

    def __post_init__(self) -> None:
        if self.deadline is None:
            self.deadline = self.program.deadline

    def hashes(self, block_size: int) -> tuple[int, ...]:
        return ()

    def reported_hashes(self, block_size: int) -> tuple[int, ...]:
        return ()


@dataclass
class View:
    engines: list[Engine] = field(default_factory=lambda: [Engine()])
    now: float = 0.0
    waiting: int = 0
    profiles: Profiles = field(default_factory=Profiles)
