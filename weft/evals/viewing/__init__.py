"""What is kept of an evaluation, shown to people and handed to other tools.

Called by the verbs of `weft eval`; nothing here makes a call or changes a row. `why` says why an
answer won, `viewer` makes the page. To add a form, write a function that takes a `Folder`. Trades
away: forms of others get what they have a place for.
"""
