"""The verbs that evaluate strategies: `weft eval` and `weft demo`.

Called by `main`. To add a verb, write a function in `verbs`; what it prints is made by `table`
and `progress`. Trades away: tables show what fits on a terminal, and the report has the rest.
"""
