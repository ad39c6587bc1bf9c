"""Which program a request belongs to, and what is remembered of programs.

Called by inference and by what watches. To recognise another client, add its header or field to
`session_ids`. Trades away: without a name of its own a program is recognised by what its
conversation repeats, or by where it begins anew, so that of two sessions of one client the second
may be taken for the first one, compacted, until the first one goes on.
"""
