"""Records: the folder of an evaluation, with one row for each strategy and sample.

Called by the runner, reports and verbs. A row holds all that is known of an answer, each text that
was drawn for it included, and is on disk as soon as the answer is there. To keep more, add a field
with a default to `Row`. Trades away: one file for all, which readers go through from its beginning.
"""

from weft.evals.records.folder import (
    CELLS,
    LOCK,
    REPORT,
    RESULTS,
    ROWS,
    SETTINGS,
    STORE,
    Folder,
    write,
)
from weft.evals.records.kept_text import KeptText
from weft.evals.records.row import Row
from weft.evals.records.settings import Session, Settings

__all__ = [
    "CELLS",
    "LOCK",
    "REPORT",
    "RESULTS",
    "ROWS",
    "SETTINGS",
    "STORE",
    "Folder",
    "KeptText",
    "Row",
    "Session",
    "Settings",
    "write",
]
