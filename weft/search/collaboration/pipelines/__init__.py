"""Pipelines: layers of components through which answers go, as in Archon.

A component draws answers, says something of them, orders them, leaves some out, or writes new ones
from them. `rules` says which may follow which. Called through the spec of `archon`. To add a
component, mark a class `@component` and say by its attributes where it may stand. Trades away: a
layer begins when the one before has ended, so a pipeline waits for its slowest answer.
"""
