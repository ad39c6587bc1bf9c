"""Tasks that are made by the seed, with one right answer each.

Called by name, as `compositional`. To add a task, mark a class `@task`, and draw all chance from
`stable_seed`. Trades away: what is made is simpler than what people ask.
"""
