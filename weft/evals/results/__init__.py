"""Results: what the rows of an evaluation come to, strategy by strategy.

Called by reports, by studies and by verbs of `weft eval`. `repeats` has what several answers to a
problem come to, `checks` what a second engine said. To add a figure, give `Result` a property.
Trades away: all rows are gone through again each time; no figure is kept.
"""

from weft.evals.results.evaluation import Evaluation, Gathering, Result, Told, aligned, gather, read

__all__ = ["Evaluation", "Gathering", "Result", "Told", "aligned", "gather", "read"]
