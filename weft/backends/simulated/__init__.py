"""A simulated engine: vLLM's batching and eviction, in time that a model of hardware tells.

Called by the simulator through the same contract as real engines. To add hardware or a model,
add an entry in `hardware`. Trades away: tokens have no content, and times come from a roofline
or from fitted lines.
"""
