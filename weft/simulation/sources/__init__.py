"""Sources: where workloads come from, read from traces (`formats`) or made (`generators`).

Called by `workloads`, which finds the source of a spec or a file. `contexts` and `planned_calls`
are what all make calls of, `checks` what is asked of a user's source. To add a source, mark a class
`@source`. Trades away: a job is data, and does not depend on how it is played.
"""

from weft.simulation.sources.source import SOURCES, Source, source, sources

__all__ = ["SOURCES", "Source", "source", "sources"]
