"""Traces of agents, read from files in the formats in which they are published.

Called by `workloads`, which tells a format by a file's first line. To add a format, mark a class
`@source` in a file here. Trades away: a trace has lengths and waits, but no texts.
"""

from weft.simulation.sources.formats.mooncake import Mooncake
from weft.simulation.sources.formats.recorded_runs import RecordedRuns
from weft.simulation.sources.formats.sessions import Sessions
from weft.simulation.sources.formats.tracelab import TraceLab
from weft.simulation.sources.formats.weka import Weka

__all__ = ["Mooncake", "RecordedRuns", "Sessions", "TraceLab", "Weka"]
