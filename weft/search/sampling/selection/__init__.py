"""Strategies that choose among open answers, where no two are equal and no vote counts.

Called through their specs. They draw as the sampling strategies do. To add one, mark the class
`@strategy` in a file of its own. Trades away: a judge's calls, for a choice that needs no
equivalence of answers.
"""
