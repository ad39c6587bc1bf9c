"""The scheduler, its policies, and the pool of engines."""

from weft.orchestrator.policy import Placement, Policy, PrefixPolicy
from weft.orchestrator.pool import Pool

__all__ = ["Placement", "Policy", "Pool", "PrefixPolicy"]
