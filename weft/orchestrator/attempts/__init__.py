"""Attempts: a call is sent until an engine has served it; an engine that fails is asked how it is.

Called by the scheduler, by engines that join, and by the service's gateway. `attempts` sends,
`followed` counts and learns from a program's call; `health` and `engine_watch` take engines out of
service and back. To add what is followed of an engine, add a task to `EngineWatch`. Trades away: an
engine is asked only when it has failed a call, unless a check is set.
"""
