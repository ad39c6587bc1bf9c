"""Strategies that draw whole answers and choose among them.

Called through their specs. To add one, draw by `samples` and mark the class `@strategy` in a
file of its own. Trades away: whatever a sample holds up to its first mistake is drawn again.
"""
