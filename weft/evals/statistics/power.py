"""How many problems an evaluation needs to see a difference."""

from __future__ import annotations

import math

from weft.evals.statistics.plain import NORMAL

POWER = 0.8
"""How likely a difference is to be seen, if there is one of the size asked about."""


def pairs_needed(difference: float, discordant: float, level: float) -> float:
    """Independent pairs with which a difference of shares is seen four times in five.

    Connor's formula for McNemar's test (1987).

    Args:
        difference: of the shares, above 0.
        discordant: the share of pairs that differ; at least the difference counts, for that many
            must differ to make it.
        level: how often a difference is seen where there is none.
    """
    differ = max(discordant, difference)
    z, more = NORMAL.inv_cdf(1 - level / 2), NORMAL.inv_cdf(POWER)
    spread = z * math.sqrt(differ) + more * math.sqrt(differ - difference * difference)
    return (spread / difference) ** 2
