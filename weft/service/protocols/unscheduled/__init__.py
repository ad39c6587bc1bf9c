"""Endpoints that generate nothing: passed on to any engine of the model.

Called by `app`, which gives each its path. To add one, extend `Unscheduled`; a path that needs
no checks is named in the configuration instead, and `passed` makes it. Trades away: these
requests wait for no engine's room and have no place among programs.
"""
