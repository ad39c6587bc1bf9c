"""What a method learned beforehand of a model on a task, and what follows from it.

Quantiles that hold for any distribution (`conformal`), scores made probabilities (`isotonic`),
rates that are followed (`tracker`), and the examples behind them, kept in the Store (`kept`).

Called by strategies, and by `weft eval calibrate`, which makes calibrations of an evaluation's
results. To use one, have a strategy ask `find_calibration`, and say by `with_examples` what a
calibration of it is made of. Trades away: a calibration holds for questions like those that it was
made of, and nobody notices if these have changed while the task's name has not.
"""
