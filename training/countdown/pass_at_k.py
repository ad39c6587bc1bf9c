"""The figure that the model's card gives of its answers."""

from __future__ import annotations

import math


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Probability that one of `k` samples is correct, unbiased, from `n` samples.

    The product form of Chen et al. 2021, `1 - prod(1 - k / i for i in n-c+1..n)`.

    Raises:
        ValueError: unless `0 <= correct <= n` and `1 <= k <= n`.
    """
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(
            f"pass@k needs 0 <= correct <= n and 1 <= k <= n, not {correct=} {n=} {k=}"
        )
    if n - correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - correct + 1, n + 1))
