"""Strategies that write an answer anew, with what was said of the answers before.

Called through their specs. They draw by the machinery of `sampling`. To add one, mark the class
`@strategy` in a file of its own. Trades away: each answer waits for those that it improves on, and
prompts grow with them.
"""
