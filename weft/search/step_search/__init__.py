"""Strategies that grow partial answers, step by step, along one frontier of open paths.

Called through their specs. To add one, write its `Frontier`, which names the next moves, and
mark the strategy's class `@strategy`. Trades away: each step is a call and each score another,
so a search needs a verifier that judges parts of answers.
"""
