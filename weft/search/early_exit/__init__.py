"""Strategies that look into an answer while it is written, and end it or add to it.

Called through their specs. To add one, watch answers by a `Monitor` of `weft.programs.watching`,
or write them in pieces, and mark the class `@strategy` in a file of its own. Trades away: what
is decided within an answer needs an engine that tells log-probabilities, or continues answers.
"""
