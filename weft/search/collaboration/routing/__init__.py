"""Strategies that choose, for each question, which model answers, and with how much effort.

Called through their specs. To add one, say who answers by a `Way`, have the answer drawn by
`weft.search.sampling`, and mark the class `@strategy` in a file of its own. Trades away: which
model is best for a question is only guessed, so some questions go to the wrong one.
"""
