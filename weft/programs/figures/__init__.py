"""Figures: what a program did, what it declared and what was learned of it, drawn.

Called by runs and by the command line. To add a form, write what takes a networkx graph as
`mermaid` and `svg` do. Trades away: a figure shows spans of one name together, so it says how many
of them ended how, and only the page of a run shows each.
"""
