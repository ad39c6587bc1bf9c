"""Tasks from other packages and suites, with their own problems and their own ways of judging.

Called by name, as `humaneval`. To add a task, mark a class `@task`, and name what its package is in
`weft/extras.py`. Trades away: the problems change with the versions of the packages.
"""
