"""The scheduler, its policies, and the pool of engines.

Called by programs, by the service and by the simulator. To add a policy, mark a class `@policy`.
Trades away: all scheduling of a fleet happens in one process and one event loop, which sees all
programs.
"""

from weft.orchestrator.policy import (
    Admission,
    Order,
    Placement,
    Policy,
    Retention,
    parse_policy,
    policies,
    policy,
)
from weft.orchestrator.pool import Pool
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View
from weft.parts.parameters import param

__all__ = [
    "Admission",
    "CallView",
    "EngineView",
    "Order",
    "Placement",
    "Policy",
    "Pool",
    "Program",
    "Retention",
    "View",
    "param",
    "parse_policy",
    "policies",
    "policy",
]
