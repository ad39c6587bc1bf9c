"""Threads: programs in which one answer is written by several threads that run side by side.

One runtime (`spawn`) starts threads and gives their texts in the declared order; one file a
protocol says when a text forks and what of the threads is joined. Called by users' programs. To
add a protocol, write a function that uses `spawn` and gives a `Threaded`. Trades away: what is
joined is text, and is prefilled again: the KV of a thread stands at other positions. Models that
were not trained for a protocol fork badly; `outline` asks an ordinary model in plain words.
"""

from weft.threads.code_plan import code_plan
from weft.threads.fork_join import Markup, fork_join
from weft.threads.gated import gated
from weft.threads.outline import outline
from weft.threads.parallel_paths import parallel_paths
from weft.threads.rounds import rounds
from weft.threads.spawn import Thread, Threaded, spawn
from weft.threads.subsearches import subsearches
from weft.threads.tim import tim

__all__ = [
    "Markup",
    "Thread",
    "Threaded",
    "code_plan",
    "fork_join",
    "gated",
    "outline",
    "parallel_paths",
    "rounds",
    "spawn",
    "subsearches",
    "tim",
]
