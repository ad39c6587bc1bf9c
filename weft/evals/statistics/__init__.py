"""What an evaluation may claim: means, intervals, differences, tests of many at once, power.

Called by reports, comparisons and benchmarks. To add a statistic, write a plain function of numbers
and name its source. Trades away: nothing needs numpy, so it is quick to import and slow on
millions of rows.
"""

from weft.evals.statistics.differences import Difference, paired
from weft.evals.statistics.holm import holm
from weft.evals.statistics.intervals import Share, share
from weft.evals.statistics.plain import mean, quantile

__all__ = ["Difference", "Share", "holm", "mean", "paired", "quantile", "share"]
