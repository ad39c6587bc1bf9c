"""Causes: why tokens of a prompt were not in the cache, and why a call waited.

Called by the dispatcher, which tells `Misses` of every call that starts and ends, if somebody wants
to know (`observe`), and notes the causes among its decisions. `cause` has their names. To add a
cause, name it there, and find it in `misses`. Trades away: what engines hold is known by what weft
sent there, so requests of others are not named.
"""
