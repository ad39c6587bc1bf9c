"""Strategies that spend on a question what it deserves, by what is known of other questions.

Called through their specs; `Strategy.side_by_side` tells them how many questions there are. To add
one, give an `Allotment` the worth of a further sample. Trades away: the questions of a suite wait
for each other, so none has its answer long before the others.
"""
