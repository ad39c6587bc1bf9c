"""What engines hold in their KV caches: the prefix index, KV events, and Belady's optimum.

Called by the scheduler and the simulated engines. To follow the reports of another engine, fill
a `ReportedIndex` with them. Trades away: the prefix index follows what
weft has sent; what other clients of an engine do is seen only where the engine publishes KV
events.
"""
