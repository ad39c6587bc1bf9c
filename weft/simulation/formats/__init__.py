"""Traces of agents, read from files in the formats in which they are published."""

from weft.simulation.formats.mooncake import Mooncake
from weft.simulation.formats.sessions import Sessions
from weft.simulation.formats.tracelab import TraceLab

__all__ = ["Mooncake", "Sessions", "TraceLab"]
