"""Runs: a program is run, and what it did is kept.

Called by users, by batches and by evaluations. `execution` runs a program, `running` starts one
that goes on beside the caller; `recorded_run` is what both tell, `provenance` which part of a run
a value came from, `traced` its spans for OpenTelemetry. To have a run tell more, add to
`RecordedRun`. Trades away: what a run did is held in memory until the run is let go.
"""

from weft.programs.runs.execution import Run, check_runnable, run, run_sync

__all__ = ["Run", "check_runnable", "run", "run_sync"]
