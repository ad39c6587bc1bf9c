"""The engines of a pool: how engines join, what their models are, what ids texts have.

Called by the pool. To ask engines for something else, write a file beside `rendering`. Trades
away: questions about a model go through all engines, of which a pool has few.
"""
