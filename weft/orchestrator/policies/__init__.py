"""The policies that weft comes with; importing this makes them known by name.

Called by the dispatcher, through the contract in `policy`. To add one, mark a class `@policy`
in a file here, or in a file of your own. Trades away: each decides from what the scheduler sees,
so what happens inside an engine is estimated.
"""

from weft.orchestrator.policies import (
    adaptive,
    affinity,
    agentix,
    cachewise,
    continuum,
    hexgen,
    llumnix,
    lmetric,
    prefix,
    saga,
    spread,
    thunderagent,
    weft,
)

__all__ = [
    "adaptive",
    "affinity",
    "agentix",
    "cachewise",
    "continuum",
    "hexgen",
    "llumnix",
    "lmetric",
    "prefix",
    "saga",
    "spread",
    "thunderagent",
    "weft",
]
