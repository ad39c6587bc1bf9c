"""Views: what a policy may know of engines, of calls that wait, and of the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.program import Program


class EngineView(Protocol):
    """What a policy may know of an engine."""

    @property
    def name(self) -> str:
        """The engine's name."""
        ...

    @property
    def capacity(self) -> int:
        """Tokens that the engine's KV cache holds; a very large number if unknown."""
        ...

    @property
    def concurrency(self) -> int:
        """How many calls the engine can run at once."""
        ...

    @property
    def draining(self) -> bool:
        """Whether the engine is to get no new programs."""
        ...

    @property
    def in_flight(self) -> int:
        """How many calls of weft the engine runs."""
        ...

    @property
    def queued(self) -> int:
        """How many calls wait for this engine and no other."""
        ...

    @property
    def programs(self) -> int:
        """How many programs are resident: they run a call there or hold a claim."""
        ...

    @property
    def reserved(self) -> int:
        """Tokens of KV that running calls hold or may need; shared tokens count once."""
        ...

    @property
    def claimed(self) -> int:
        """`reserved`, and the claims of programs that are between calls."""
        ...

    @property
    def attached(self) -> int:
        """Tokens of context of all live programs that ran there last, with a claim or without."""
        ...

    @property
    def window(self) -> float:
        """Programs that the engine seems to hold, found by trying; infinite until it was full.

        Additive increase and multiplicative decrease by the share of its KV that is claimed, and
        by the engine's preemptions where they are seen.
        """
        ...

    @property
    def weakest(self) -> Program | None:
        """The program between calls whose claim would yield first."""
        ...

    def has_room(self, call: CallView) -> bool:
        """Whether the engine has a free slot, and KV for the call beside the calls that run."""
        ...

    def cached(self, call: CallView) -> int:
        """Tokens of the call's prompt that the prefix cache holds, as far as is known."""
        ...

    def need(self, call: CallView) -> int:
        """Tokens of KV that the call needs to its expected end, beyond what runs already."""
        ...

    def prefill_seconds(self, tokens: int) -> float:
        """Measured seconds to compute this many tokens of a prompt; 0 if not known yet."""
        ...

    def decode_seconds(self, batch: int) -> float:
        """Measured seconds between two tokens of an answer when `batch` calls run; 0 if unknown."""
        ...


class CallView(Protocol):
    """What a policy may know of a call that waits."""

    @property
    def id(self) -> str:
        """Unique."""
        ...

    @property
    def program(self) -> Program:
        """The program that makes the call."""
        ...

    @property
    def stage(self) -> str:
        """The part of the program that makes the call."""
        ...

    @property
    def arrival(self) -> int:
        """A number that grows: calls are numbered as they come."""
        ...

    @property
    def since(self) -> float:
        """When the call came, by the scheduler's clock."""
        ...

    @property
    def siblings(self) -> int:
        """Branches of the call's group that run at once, its own included; 1 without a group."""
        ...

    @property
    def group(self) -> CallGroup | None:
        """The fan-out that the call belongs to: its width, and how many branches are enough."""
        ...

    @property
    def rank(self) -> tuple[int, ...]:
        """The call's place among those of its batch; empty outside batches.

        Calls whose prompts begin alike stand beside each other, so that the beginning is computed
        once and is still cached.
        """
        ...

    @property
    def deadline(self) -> float | None:
        """When the call's time is up, by the scheduler's clock; None without a limit of time.

        The first end of the budgets around the call, or else its program's deadline.
        """
        ...

    @property
    def calls_left(self) -> int | None:
        """Calls that the budgets around the call leave, this one included; None for no limit."""
        ...

    @property
    def tokens_left(self) -> int | None:
        """Tokens that the budgets around the call leave, prompts included; None for no limit."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the call's prompt."""
        ...

    @property
    def answer_tokens(self) -> int:
        """Tokens that the answer is expected to have."""
        ...

    def hashes(self, block_size: int) -> Sequence[int]:
        """Chained hashes of the prompt's whole blocks."""
        ...

    def reported_hashes(self, block_size: int) -> Sequence[int]:
        """Hashes of the same blocks, as vLLM's KV events name them."""
        ...

    @property
    def fair_start(self) -> float:
        """Start tag, in tokens of the tenant's share (start-time fair queueing, Goyal 1996)."""
        ...


class View(Protocol):
    """What a policy may know of the fleet."""

    @property
    def now(self) -> float:
        """The scheduler's clock, seconds."""
        ...

    @property
    def engines(self) -> Sequence[EngineView]:
        """Living engines that serve the call's model; never empty."""
        ...

    @property
    def waiting(self) -> int:
        """How many calls wait, for any engine."""
        ...

    @property
    def profiles(self) -> Profiles:
        """What was learned of programs, stages and tools."""
        ...
