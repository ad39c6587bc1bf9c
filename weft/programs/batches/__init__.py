"""Batches: one program over many inputs.

`batch` runs them, `sharing` has equal calls made once, `neighbours` puts calls whose prompts begin
alike beside each other. Called by users' programs, and by `calls` through the scope. To have
something else shared by the inputs of a batch, put it beside `Sharing`. Trades away: inputs of a
batch end late rather than one after the other, unless `limit` says how many are under way.
"""
