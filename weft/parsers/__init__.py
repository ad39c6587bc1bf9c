"""Parsers: what else a model writes into its text, told from the answer.

Thinking (`thinking`) and calls of tools (`tool_calls`). Called where answers are read: by programs,
engines, strategies and doors for others' agents. To add a form, add its marks to the parser. Trades
away: forms are told by their marks, whatever the model's name.
"""
