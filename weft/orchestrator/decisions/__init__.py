"""What is told of decisions, to whom, and how the decisions are kept in a file.

Called by the dispatcher, which tells, and by commands that show decisions. To add what is told,
add a kind to `Decision`. Trades away: whoever is told holds up the scheduler meanwhile.
"""
