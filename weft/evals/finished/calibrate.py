"""Calibrations of an evaluation's results."""

from __future__ import annotations

from pathlib import Path

from weft.errors import UsageError
from weft.evals.records import STORE, Folder
from weft.search.calibration.examples import AnswerGiven, calibrations
from weft.search.calibration.kept import Calibration, keep_calibrations
from weft.store.store import Store


def calibrate(folder: Path, store: str | Path | None = None, task: str = "") -> list[Calibration]:
    """Make calibrations of the results in a folder, and keep them.

    Args:
        folder: of an evaluation in which strategies ran that can be calibrated.
        store: the file or URL where they are kept; the folder's own store if None.
        task: the name under which they are kept; the evaluation's task unless given.

    Returns:
        what was made, in the order of the strategies.

    Raises:
        UsageError: no strategy of the evaluation can be calibrated.
        StoreError: the folder can't be read, or the store can't be written.
    """
    there = Folder(folder)
    settings, _ = there.settings()
    answers = [
        AnswerGiven(r.group, r.key, r.strategy, r.correct, r.usage.computed, r.details)
        for r in there.whole_rows()
        if r.correct is not None
    ]
    made = calibrations(answers, settings.model, task or settings.asked)
    if not made:
        raise UsageError(
            f"no strategy in {folder} scored what a calibration could be made of; run one whose "
            "needs name a calibration, see `weft strategies NAME`"
        )
    with Store(store or folder / STORE) as kept:
        keep_calibrations(kept, made)
    return made
