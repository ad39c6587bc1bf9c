"""What a prompt holds, and in what order: so that it fits, and its prefix stays in the cache.

Called by users' programs and by `weft.threads`. To add a way to shorten prompts, write a function
from a Prompt to a Prompt that keeps the first turns as they are, cuts only where `turns` does, and
asks `count` when to act. Trades away: what stands behind a cut is prefilled again, and what a
summary leaves out is gone for the model.
"""

from weft.context.compaction import compact
from weft.context.ordering import ordered
from weft.context.turns import added, grafted, turns
from weft.context.warming import warm

__all__ = ["added", "compact", "grafted", "ordered", "turns", "warm"]
