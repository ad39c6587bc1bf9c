"""Strategies that share samples out over the questions of a suite: who gets the next one.

Called through their specs; `Strategy.side_by_side` tells them how many questions there are. To add
one, give an `Allotment` the worth of a further sample. Trades away: the questions of a suite wait
for each other, so none has its answer long before the others.
"""
