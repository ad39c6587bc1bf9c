"""What is done with evaluations that have been run: merged, judged anew, calibrated from.

Called by verbs of `weft eval`. To add one, read a `Folder`; one that writes there holds its lock.
Nothing here asks a model. Trades away: what a row does not keep can't be had any more.
"""
