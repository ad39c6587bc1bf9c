"""Workloads, and the simulator that plays them on fleets of any size in virtual time."""
