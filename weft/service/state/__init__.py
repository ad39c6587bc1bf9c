"""What outlives a restart: taken from the service's parts, kept in its Store, given back.

Called by the service on start and each second. To keep more, add a column to `tables` and a
field to `memory`. Trades away: the last second before a crash may be lost.
"""
