"""The dispatcher and its parts: what is decided for calls, engines and claims, without waiting.

Called by the scheduler, and by tests with a clock of their own. To add what a call or an engine
is held by, write it beside `gate` or `claims`; nothing here opens a connection or starts a task.
Trades away: all is one synchronous object, so a policy that
computes for long holds up every call.
"""
