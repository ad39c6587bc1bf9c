"""Budgets: limits that a program keeps while it runs.

A call reserves what it may need of every budget in force. Called by programs, by `calls`, and by
strategies as models of the service, whose limits are read from a configuration file. To add a
resource, give `Limits` a field and `reservation` what a call needs of the resource. Trades away:
a reservation is an upper bound, so near a limit fewer calls run at once than could.
"""
