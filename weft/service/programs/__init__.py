"""Which program a request belongs to by what its client sends, and what is remembered of programs.

Called by inference and by what watches. To recognise another client, add its header or field to
`session_ids`. Trades away: what a client sends is believed. Two sessions that send one id are one
program.
"""
