"""Token ids of texts and conversations: asked for once, remembered for a while.

Called by the pool and by calls. Nothing is added here: an engine says what the ids are. Trades
away: memory, of which `MOST` tells how much, for questions to engines and for hashes.
"""
