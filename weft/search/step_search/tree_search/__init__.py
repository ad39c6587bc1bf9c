"""Strategies that walk down a tree of partial answers from its root, once for each step.

Called through their specs. To add one, write its `TreeFrontier`, which says where a walk ends,
and mark the strategy's class `@strategy`. Trades away: a walk is decided by what all walks
before it have found, so fewer calls run side by side than in a search by rounds.
"""
