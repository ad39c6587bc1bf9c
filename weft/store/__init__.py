"""What weft has kept: results of calls, and what was learned of programs and of methods.

Called by programs (results), the scheduler (profiles), strategies (calibrations) and the service
(its state). To keep
more, add a table in `database`'s metadata beside the code that uses the table.
Trades away: a call ends when its result is committed, so a slow database slows programs down.
"""
