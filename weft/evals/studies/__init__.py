"""Studies: many variants of a strategy, laid out beforehand, and what is found among them.

Called by suites and by the verbs of `weft eval`. To add a study, write what makes strategies of a
plan; running, keeping and comparing them is an evaluation's business. Trades away: a study is an
evaluation, so all of its variants are asked the same problems.
"""
