"""Parts: how classes of weft and of users are known, named, imported and made from specs.

Called by every room whose classes a spec can name, and wherever users' code runs. A `spec` names
a part; the `registry` finds the class, `parameters` and `signature` say what the class takes,
`making` makes the object; `importing` and `entry_points` bring users' code, and `faults` tells what
that code does wrong. To add a kind of part, make a `PartRegistry` beside the class that the kind
extends. Trades away: what a spec can't say can't be asked for.
"""
