"""Puzzles: Countdown, which the shipped model plays, and Sudoku, with their exact solvers.

Called by name, by `weft demo`, and by the shipped model's training. To add a puzzle, write its
rules in one file and its task, marked `@task`, in another. Trades away: problems are drawn by the
seed, so there is nothing to look at before.
"""
