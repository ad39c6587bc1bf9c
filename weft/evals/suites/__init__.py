"""Suites: which strategies run on which task, and how; read from YAML, and those that weft has.

Called by `weft eval`, by sessions and by studies. `grid` writes many variants of a strategy out,
`failures` says how many samples may fail. To add a setting, add a field to `Suite`. Trades away: a
suite has one task.
"""
