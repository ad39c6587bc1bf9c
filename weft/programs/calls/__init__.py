"""Calls: what becomes of one `generate` or `score`, from its Prompt to its result.

Called by programs and strategies, through `generate` and `score`. To add a kind of call, go
through `call.call`, which asks budgets, Store and scheduler. Trades away: a call that fails on
one engine begins anew on another, so what it had streamed is told again.
"""
