"""Evaluations: tasks, suites, running suites, statistics and reports.

Called by `weft eval` and `weft demo`. To add a task, mark a class `@task`. Trades away: results are
files in one folder, with one writer at a time.
"""

from weft.evals.tasks import Sample, Task, task
from weft.evals.tasks.scorer import Scorer, scorer
from weft.search import Answer, Question

__all__ = ["Answer", "Question", "Sample", "Scorer", "Task", "scorer", "task"]
