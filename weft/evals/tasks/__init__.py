"""Tasks: problems, how to ask them, and when an answer is right.

Called by evaluations and by `weft mock`. `registry` knows tasks by name, `task` says what a task
is. To add a task, mark a class `@task`. Nothing is imported here, so that the games can be used
(to train a model, say) without the rest of weft. Trades away: all problems are in memory at once.
"""
