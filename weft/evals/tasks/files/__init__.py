"""Tasks from rows with named fields: what they have in common, tables, datasets.

Called by name, as `csv(path=...)`, and by users' tasks that extend `FileTask`. To read another kind
of file, extend `FileTask`, write `rows`, and mark the class `@task`. Trades away: all rows are in
memory at once.
"""
