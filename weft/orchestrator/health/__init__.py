"""Whether engines are well, and what is done for each of them while the scheduler runs.

Called by the scheduler and by attempts that failed. To add what is followed of an engine, add a
task to `EngineWatch`. Trades away: an engine is asked only when it has failed a call, unless a
check is set.
"""
