"""Guards against policies that fail, give what is no answer, or let nobody in.

Called by the dispatcher alone. To add what counts as no answer, write it into `policy_answers`.
Trades away: each decision is looked at once more, for less than a microsecond, and a policy that
computes for long can't be stopped.
"""
