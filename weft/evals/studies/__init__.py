"""Studies: searches among many variants of a strategy, of an engine's settings or of a policy.

Called by the verbs of `weft eval`, `weft tune` and `weft explain`. To add a study, write what makes
variants and chooses among them; running, keeping and comparing them is an evaluation's business.
Trades away: a study is an evaluation, so all of its variants are asked the same problems.
"""
