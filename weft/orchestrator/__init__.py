"""The scheduler, its policies, and the pool of engines."""

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

__all__ = [
    "Admission",
    "Order",
    "Placement",
    "Policy",
    "Pool",
    "Retention",
    "parse_policy",
    "policies",
    "policy",
]
