"""Strategies as models: which are offered, what they are asked, and how they answer.

Called by inference for models named `MODEL:STRATEGY`. To offer more, register a strategy; to
speak another protocol, add a form. Trades away: a strategy's answer is streamed only once the
text is certain.
"""
