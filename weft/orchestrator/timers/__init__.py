"""Times at which something is due, though only one of them is waited for.

Called by the dispatcher and by what keeps claims and leases. To add a kind of date, give
`DueTimes` what says whether a date still stands. Trades away: a date that no longer stands is
looked at once more before it is forgotten.
"""
