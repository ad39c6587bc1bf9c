"""Policy: the scheduler's four decisions, as pure functions of what it can see."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, dataclass_transform

from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.program import Program
from weft.parameters import Parametric
from weft.registry import PartRegistry


class EngineView(Protocol):
    """What a policy may know of an engine."""

    @property
    def name(self) -> str:
        """The engine's name."""
        ...

    @property
    def capacity(self) -> int:
        """Tokens that its KV cache holds; a very large number if unknown."""
        ...

    @property
    def concurrency(self) -> int:
        """How many calls it can run at once."""
        ...

    @property
    def draining(self) -> bool:
        """Whether it is to get no new programs."""
        ...

    @property
    def in_flight(self) -> int:
        """Calls that weft has running there."""
        ...

    @property
    def queued(self) -> int:
        """Calls that wait for this engine and no other."""
        ...

    @property
    def programs(self) -> int:
        """Programs that are resident: those that run a call there or hold a claim."""
        ...

    @property
    def reserved(self) -> int:
        """Tokens of KV that running calls hold or may come to need, shared ones counted once."""
        ...

    @property
    def claimed(self) -> int:
        """`reserved`, and the claims of programs that are between calls."""
        ...

    @property
    def attached(self) -> int:
        """Tokens of context of all live programs that ran there last, claims or no claims."""
        ...

    @property
    def weakest(self) -> Program | None:
        """The program between calls whose claim would yield first."""
        ...

    def has_room(self, call: CallView) -> bool:
        """Whether the engine can start the call at once: a slot, and KV beside those running."""
        ...

    def cached(self, call: CallView) -> int:
        """Tokens of the call's prompt that its prefix cache holds, as far as is known."""
        ...

    def need(self, call: CallView) -> int:
        """Tokens of KV that the call needs to its expected end, beyond what runs already."""
        ...

    def prefill_seconds(self, tokens: int) -> float:
        """How long it takes to compute so much of a prompt, as measured; 0 if not known yet."""
        ...

    def decode_seconds(self, batch: int) -> float:
        """Seconds between the tokens of one answer when `batch` calls run; 0 if unknown."""
        ...


class CallView(Protocol):
    """What a policy may know of a call that waits."""

    @property
    def id(self) -> str:
        """Unique."""
        ...

    @property
    def program(self) -> Program:
        """Whose call it is."""
        ...

    @property
    def stage(self) -> str:
        """The part of the program that asks."""
        ...

    @property
    def arrival(self) -> int:
        """Calls are numbered as they come."""
        ...

    @property
    def since(self) -> float:
        """When it came, by the scheduler's clock."""
        ...

    @property
    def siblings(self) -> int:
        """The width of the fan-out it belongs to, 1 if to none."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Tokens of its prompt."""
        ...

    @property
    def answer_tokens(self) -> int:
        """Tokens expected of its answer."""
        ...

    def hashes(self, block_size: int) -> Sequence[int]:
        """Chained hashes of its prompt's whole blocks."""
        ...

    def reported_hashes(self, block_size: int) -> Sequence[int]:
        """The same blocks as vLLM's KV events name them."""
        ...

    @property
    def fair_start(self) -> float:
        """Start tag in tokens of its tenant's share (start-time fair queueing, Goyal 1996)."""
        ...


class View(Protocol):
    """What a policy may know besides."""

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
        """Calls that wait, for whichever engine."""
        ...

    @property
    def profiles(self) -> Profiles:
        """What was learned of programs, stages and tools."""
        ...


@dataclass(slots=True)
class Placement:
    """Where a call is to go, and why.

    Attributes:
        engine: one of the view's.
        reason: for people.
        firm: True has the call wait for this engine while it is full; False has it wait for
            any, and the policy is asked again when one has room.
    """

    engine: EngineView
    reason: str
    firm: bool = False


@dataclass(slots=True)
class Order:
    """A waiting call's place in the queue.

    Attributes:
        key: smallest first; ties go by arrival.
        reason: for people.
        overdue: from when on, by the scheduler's clock, it goes before all others and needs
            no admission; None for never.
    """

    key: tuple[float, ...]
    reason: str
    overdue: float | None = None


@dataclass(slots=True)
class Admission:
    """Whether a call may enter an engine now.

    Attributes:
        enter: the decision.
        reason: for people.
        displace: for a refusal: this program's claim is revoked, and the policy asked again.
    """

    enter: bool
    reason: str
    displace: Program | None = None


@dataclass(slots=True)
class Retention:
    """For how long a program that runs no call keeps its claim.

    Attributes:
        seconds: from the end of its last call; 0 keeps no claim.
        reason: for people.
        rank: claims of the lowest rank yield first (`EngineView.weakest`).
    """

    seconds: float
    reason: str
    rank: float = 0.0


class Policy(Parametric):
    """Decides for programs: `admit`, `order`, `place`, `retain`.

    Subclasses are marked with `@policy(name)`, which makes them frozen dataclasses whose fields
    are their parameters. Decisions are pure: they look at views, change nothing, and give a
    reason. They may cost O(log n) in waiting calls.

    A call that comes is placed and ordered. If its engine has room and it is admitted, it goes
    there at once. Otherwise it waits: for that engine, if the placement is firm, else for any.
    When an engine gets room, the first of those that wait for it and the first of those that
    wait for any are placed (if not firm) and admitted, until one is refused.

    What every policy has without doing anything: calls wait in weft until an engine has room
    for them (`EngineView.has_room`), everyone is admitted, first come, first served, and
    programs keep no claim between calls.
    """

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """May the call enter the engine, which has room, now?"""
        return _ENTER

    def order(self, call: CallView, view: View) -> Order:
        """Its place among those that wait; asked once, when it comes."""
        return _ARRIVAL

    @abstractmethod
    def place(self, call: CallView, view: View) -> Placement:
        """On which of the view's engines it should run."""

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        """For how long the program, whose last running call just ended, keeps its room."""
        return _NOTHING


_ENTER = Admission(True, "everyone is admitted")
_ARRIVAL = Order((), "first come, first served")
_NOTHING = Retention(0.0, "no claim between calls")

P = TypeVar("P", bound=type[Policy])
POLICIES = PartRegistry(
    "policy", Policy, mark="policy", group="weft.policies", own=["weft.orchestrator.policies"]
)
DEFAULT = "weft"
"""The policy where none is named."""


@dataclass_transform(frozen_default=True)
def policy(name: str) -> Callable[[P], P]:
    """Make a class a policy that specs call `name`."""

    def mark(cls: P) -> P:
        cls.name = name
        made = dataclass(frozen=True)(cls)
        POLICIES.add(name, made)
        return made

    return mark


def policies() -> Mapping[str, type[Policy]]:
    """The policies that are known by name."""
    return POLICIES.known()


def parse_policy(spec: str | Mapping[str, Any] | Policy) -> Policy:
    """The policy that a spec describes.

    Args:
        spec: a text such as `cap(k=8)` or `mine.py:Brisk(most=2)`, or the same as YAML reads
            it: `{cap: {k: 8}}`.

    Raises:
        UnknownName: there is no such policy or parameter.
        UsageError: the text is malformed, or a value is not allowed.
    """
    return POLICIES.parse(spec)
