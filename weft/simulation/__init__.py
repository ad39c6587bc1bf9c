"""Workloads, and the simulator that plays workloads on fleets of any size in virtual time.

Called by `weft simulate`, `weft tune` and `weft explain`. To add a workload or an arrival process,
mark a class `@source` or `@arrivals`. Trades away: networks and tokenization take no time here.
"""

from weft.extras import need

need("simulate", "the simulator")

from weft.parts.parameters import param  # noqa: E402
from weft.simulation.arrivals import Arrivals, arrivals  # noqa: E402
from weft.simulation.sources import Source, source  # noqa: E402
from weft.simulation.workload import Job, Parallel, PlannedCall  # noqa: E402

__all__ = [
    "Arrivals",
    "Job",
    "Parallel",
    "PlannedCall",
    "Source",
    "arrivals",
    "param",
    "source",
]
