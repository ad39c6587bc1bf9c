"""Policy: the scheduler's four decisions, as pure functions of what the scheduler sees."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View
from weft.parts.parameters import Parametric
from weft.parts.registry import PartRegistry


@dataclass(slots=True)
class Placement:
    """Where a call is to go, and why.

    Attributes:
        engine: one of the view's engines.
        reason: for people.
        firm: with True the call waits for this engine while the engine is full. With False the
            call waits for any engine, and the policy is asked again when an engine has room.
    """

    engine: EngineView
    reason: str
    firm: bool = False


@dataclass(slots=True)
class Order:
    """A waiting call's place in the queue.

    Attributes:
        key: the smallest key goes first; equal keys go by arrival.
        reason: for people.
        overdue: a time on the scheduler's clock. From then on the call goes before all others
            and needs no admission. None is never.
    """

    key: tuple[float, ...]
    reason: str
    overdue: float | None = None


@dataclass(slots=True)
class Admission:
    """Whether a call may enter an engine now.

    Attributes:
        enter: whether the call may enter.
        reason: for people.
        displace: with a refusal: the claim of this program is revoked, and the policy is asked
            again.
        again: with a refusal that displaces nobody: a time on the scheduler's clock at which the
            policy is asked again. Without it the policy is asked when something changes.
    """

    enter: bool
    reason: str
    displace: Program | None = None
    again: float | None = None


@dataclass(slots=True)
class Retention:
    """For how long a program that runs no call keeps its claim.

    Attributes:
        seconds: from the end of the program's last call on; 0 keeps no claim. Infinite is until
            the program ends. A program that may end without a word counts as ended when that is
            more likely than that it comes back.
        reason: for people.
        rank: claims of the lowest rank yield first (`EngineView.weakest`).
    """

    seconds: float
    reason: str
    rank: float = 0.0


class Policy(Parametric):
    """Makes the scheduler's decisions: `admit`, `order`, `place`, `retain`.

    `@policy(name)` marks a subclass, and makes it a frozen dataclass whose fields are the
    policy's parameters. Decisions are pure: a decision looks at views, changes nothing, and has
    a reason. A decision may cost O(log n) in waiting calls.

    A call that comes is placed and ordered. If its engine has room and the policy admits the
    call, the call starts at once. Otherwise the call waits: for its engine if the placement is
    firm, or else for any engine. When an engine gets room, two calls are looked at: the first
    that waits for this engine, and the first that waits for any engine and is placed again.
    Calls are admitted until one is refused.

    Without a policy's doing, calls wait in weft until an engine has room
    (`EngineView.has_room`), every call is admitted, first come, first served, and programs keep
    no claim between calls.
    """

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """Whether the call may enter the engine now. The engine has room."""
        return Admission(True, "everyone is admitted")

    def order(self, call: CallView, view: View) -> Order:
        """The call's place among the calls that wait; asked once, when the call comes."""
        return Order((), "first come, first served")

    @abstractmethod
    def place(self, call: CallView, view: View) -> Placement:
        """On which of the view's engines the call should run."""

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        """For how long the program keeps its room. Its last running call has just ended."""
        return Retention(0.0, "no claim between calls")


P = TypeVar("P", bound=type[Policy])
POLICIES = PartRegistry(
    "policy", Policy, mark="policy", group="weft.policies", own=["weft.orchestrator.policies"]
)
DEFAULT = "weft"
"""The policy, if none is named."""


@dataclass_transform(frozen_default=True)
def policy(name: str) -> Callable[[P], P]:
    """Make a class a policy that specs call `name`."""
    return POLICIES.mark_as(name)


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
