"""Errors as words: what engines say of an error, and what a client is told.

Called by the protocols, which write the words in their own form, and by inference. To understand
an error of another engine, add its form to `overflow` or its type to `told_errors`. Trades away:
what an engine says is known by its words, so an error in words that nobody has seen is passed on
as the engine told it.
"""
