"""Tasks: problems, how to ask them, and when an answer is right.

Called by evaluations and by `weft mock`. `registry` knows tasks by name, `task` says what a task
is. To add a task, mark a class `@task`. Trades away: all problems are in memory at once.
"""

from weft.evals.tasks.task import Sample, Task, task

__all__ = ["Sample", "Task", "task"]
