"""Scope: where in which run the code is, and what it may say there.

Called by whatever makes a call or runs others' code: nodes, fan-outs, calls, tools and strategies.
`current` is the place; `declaration` and `observed` hold what a program said beforehand and whether
it did so; `hearing` tells what was generated, `waiting` what a program waits for. To have something
go with a run, add a field to `Scope`. Trades away: it is one context variable, which code finds
without being given it.
"""

from weft.programs.scope.left import left
from weft.programs.scope.scope import ANY, Live, Scope, Settle, current, enclosing, enter, running

__all__ = [
    "ANY",
    "Live",
    "Scope",
    "Settle",
    "current",
    "enclosing",
    "enter",
    "left",
    "running",
]
