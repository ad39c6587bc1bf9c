"""The `weft` command: thin, one file for each group of verbs.

Called by people. To add a verb, write a function in a file here and
name the function in `main`. Trades away: heavy modules are imported within functions, so that
`weft --help` is quick.
"""
