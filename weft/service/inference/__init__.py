"""One request for inference, from the client's bytes to the scheduler and back.

Called by the app's routes. To pass on another endpoint, add a protocol; the way here is the same
for all. Trades away: bytes go through unread where they can, so what a protocol does not read
is not checked.
"""
