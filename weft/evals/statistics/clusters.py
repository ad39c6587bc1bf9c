"""Values that belong together: questions about one text, or repeats of one problem.

Their mean varies by how much clusters differ, not by how many values there are.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from weft.evals.statistics.plain import mean


def cluster_sums(values: Sequence[float], clusters: Sequence[Hashable]) -> list[float]:
    """The sum of each cluster's values, in the order in which clusters first appear."""
    sums: dict[Hashable, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value
    return list(sums.values())


def spread(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """The variance of the values' sum, clusters being independent of each other.

    G / (G - 1) times the squared sums of the G clusters' deviations (Liang and Zeger 1986; for
    evaluations Miller 2024). With a cluster for each value it is n times the unbiased variance.
    0 for fewer than two clusters.
    """
    centre = mean(values)
    sums = cluster_sums([v - centre for v in values], clusters)
    if len(sums) < 2:
        return 0.0
    return len(sums) / (len(sums) - 1) * math.fsum(s * s for s in sums)


def mean_stderr(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """The standard error of the mean; 0 for fewer than two clusters."""
    return math.sqrt(spread(values, clusters)) / len(values) if values else 0.0


def effective(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    independent: float,
    most: float | None = None,
) -> float:
    """How many independent answers, right or wrong, would vary as much in their mean (Kish 1965).

    Args:
        values: of all clusters.
        clusters: of each value.
        independent: the variance of the values' sum, if each were such an answer.
        most: the answers behind the values, if a value is the mean of several; else each is one.

    Returns:
        At most that many. Where nothing varies, or there is one cluster only, nobody can tell how
        alike a cluster's values are: then the number of clusters.
    """
    n, groups = len(values), len(set(clusters))
    if groups == n and most is None:
        return float(n)
    varies = spread(values, clusters)
    if groups < 2 or independent <= 0 or (varies <= 0 and most is not None):
        return float(groups)
    largest = float(n) if most is None else max(most, 1.0)
    return min(largest, n * independent / varies) if varies > 0 else largest
