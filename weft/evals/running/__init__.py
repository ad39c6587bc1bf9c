"""Running: an evaluation from its suite to its rows and its report.

A `session` brings engines up and runs strategies; the `runner` asks all samples of one strategy;
`asking` makes a row of one sample. Called by `weft eval run` and by studies. To have a row say
more, add a field to `Row` and fill it in `asking`. Trades away: strategies run one after the
other, so that their seconds mean something.
"""
