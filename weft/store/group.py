"""Group: results that come in one turn of the event loop, and are committed together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft.concurrency import signal
from weft.errors import StoreError

_log = logging.getLogger(__name__)

Row = Mapping[str, Any]
Write = Callable[[Sequence[Row]], None]


class Group:
    """Results on their way into the database, in one transaction.

    A row that the database refuses keeps no other row out.

    Args:
        write: writes rows in one transaction, and raises StoreError if it can't.
        loop: the event loop in which the rows come.
    """

    def __init__(self, write: Write, loop: object) -> None:
        self._write, self.loop = write, loop
        self._lock = threading.Lock()
        self._rows: list[Row] = []
        self._keys: set[str] = set()
        self._errors: dict[str, StoreError] = {}
        self._waiting: list[Callable[[], None]] = []
        self._closed = False

    def add(self, row: Row) -> None:
        """Have a row written too."""
        with self._lock:
            self._rows.append(row)
            self._keys.add(row["key"])

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def flush(self) -> None:
        """Write what has not been written yet; by any thread."""
        with self._lock:
            rows, self._rows = self._rows, []
            if not rows:
                return
            self._keys.clear()
            try:
                self._write(rows)
            except StoreError as error:
                if len(rows) == 1:
                    self._note(rows[0], error)
                    return
                for row in rows:
                    try:
                        self._write([row])
                    except StoreError as its_error:
                        self._note(row, its_error)

    def _note(self, row: Row, error: StoreError) -> None:
        self._errors[row["key"]] = error
        if not row["done"]:  # nobody waits for that
            _log.warning("what a cancelled call cost is not kept: %s", error)

    def close(self) -> None:
        """Write what is there, and tell those who wait; in the event loop where they do."""
        self.flush()
        self._closed = True
        for wake in self._waiting:
            wake()

    async def written(self, key: str) -> None:
        """Wait until a row is committed.

        Raises:
            StoreError: it can't be written.
        """
        if not self._closed:
            wake, woken = signal()
            self._waiting.append(wake)
            await woken
        if key in self._errors:
            raise self._errors[key]
