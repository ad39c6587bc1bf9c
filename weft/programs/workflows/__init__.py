"""Workflows: decomposed tasks, as plain functions that name what they need.

`workflow` makes a program of them, `assign` says which model should do which part. Called by
users' programs. To have another condition or join, write a function with `when` and defaults; to
have another aim than cost and time, write it into `bounds`. Trades away: a workflow has no loops,
which a program in plain Python has.
"""

from weft.programs.workflows.assign import Assignment, OperatorCost, assign
from weft.programs.workflows.operator import when
from weft.programs.workflows.workflow import Workflow, workflow

__all__ = ["Assignment", "OperatorCost", "Workflow", "assign", "when", "workflow"]
