"""The side that faces engines: membership, raw connections, replies, loads, and names.

Called by inference and by the service's start and reload. To ask engines for something else now
and then, write a file beside `loads`. Trades away: a client of our own
instead of a general one, for the cost of a request; HTTP/1.1 only.
"""
