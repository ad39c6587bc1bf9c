"""Strategies whose answers grow by segments of so many tokens, wherever these end.

Called through their specs. They share the frontier and the steps of `step_search`: a segment is a
step that ends after `every` tokens. To add one, write its `Frontier` and mark the strategy's class
`@strategy`. Trades away: a segment may end within a word, so what reads or scores a part of an
answer must bear that.
"""
