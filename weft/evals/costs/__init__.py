"""What answers cost besides tokens: a GPU's work, energy, and the price of a right answer.

Called by sessions (which measure) and reports (which show). To add a cost, write a function of
results here, and a column in `reports.sections`. Trades away: the models behind these figures are
simple, and their constants those of their papers.
"""
