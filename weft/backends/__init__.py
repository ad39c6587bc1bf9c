"""Inference engines: the contract in `engine`, and what fulfils the contract.

Called by the scheduler, which binds calls to engines, and by `kinds`, which makes engines from
words. To add an engine, fulfil `Engine` in a module of its own and give the class a spec; the
rooms below hold what is more than one file. Trades away: an engine knows nothing of programs,
so whatever depends on them is the scheduler's.
"""
