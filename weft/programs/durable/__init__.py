"""Durable: runs with an id, which outlive their process, and what such a run does once.

A run's calls are kept in its Store anyway. This room keeps the rest: the results of functions
marked `@once`, people's answers, the ends of waits, and what is to be known of the run itself.
Called by `runs` and by users' programs. To add something that happens once, hand its act to
`deeds`. Trades away: each deed is committed twice, when it begins and when it ends.
"""
