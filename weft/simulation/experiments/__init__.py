"""Experiments: policies compared on one workload, and what is made of the comparison.

Called by `weft simulate`, `weft tune` and `weft explain`, and by users in Python. To show more
of a comparison, add to `experiment` what is measured and to `folder` what is kept. Trades away:
each policy plays the whole workload anew.
"""
