"""Which program a request belongs to, and what is remembered of programs.

Called by inference and by what watches. To recognise another client, add its header or field to
`identity`. Trades away: without a name of its own a program is recognised by what its
conversation repeats, so a client that rewrites its first message is taken for a new program.
"""
