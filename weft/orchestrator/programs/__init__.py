"""Programs as the scheduler sees them: who asks, which steps they took, what they announced.

Called by the dispatcher, by policies' views and by whatever begins a program. To have policies know
more of a program, add a field to `Program`. Trades away: all hold the same object, so a policy must
not keep what it has read.
"""
