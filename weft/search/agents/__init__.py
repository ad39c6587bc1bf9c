"""Searches in which several agents work on one question, or one agent searches through tools.

Called through their specs; `dfsdt` by users' programs, over a node of theirs, as `best_of` is. To
add a strategy, mark its class `@strategy`; to add a search over nodes, write a function that knows
nothing of what a state is. Trades away: what agents say of each other's work is only as good as
they are.
"""
