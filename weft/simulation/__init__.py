"""Workloads, and the simulator that plays them on fleets of any size in virtual time."""

from weft.extras import need

need("simulate", "the simulator")
