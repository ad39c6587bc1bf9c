"""Workloads, and the simulator that plays workloads on fleets of any size in virtual time.

Called by `weft simulate`, `weft tune` and `weft explain`. To add a workload or an arrival process,
mark a class `@source` or `@arrivals`. Trades away: networks and tokenization take no time here.
"""

from weft.extras import need

need("simulate", "the simulator")
