"""vLLM replicas on this machine: how they are told to run, launched, and kept standing.

Called by `weft demo`, `weft engines` and `specs`. To add a build of vLLM, give `flags` its
arguments. Trades away: one launch is one process group on one machine; other machines are
reached by their URLs.
"""
