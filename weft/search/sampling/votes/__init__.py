"""Strategies in which the samples of a question vote.

Called through their specs, and over users' nodes by `majority_of`. To add one, draw by `samples`,
give each sample its weight, and mark the class `@strategy` in a file of its own. Trades away:
answers are counted, so there must be some that are the same.
"""
