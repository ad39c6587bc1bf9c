"""What the answers of a sample's repeats count as in a vote, where a task says which are the same.

Only answers that differ are held, and none where answers are the same if they are equal.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from operator import eq

import anyio

from weft.evals.records import Row
from weft.evals.running.asking import Asking
from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.tasks.task import Sample


class RepeatVotes:
    """The answers of each sample's repeats.

    Args:
        task: whose samples they answer.
        example: one of them.
    """

    def __init__(self, task: GuardedTask, example: Sample) -> None:
        self._compares = task.question(example, 0).same is not eq
        self._known: dict[str, list[str]] = {}
        self._turns: dict[str, anyio.Lock] = {}

    @asynccontextmanager
    async def turn(self, id: str) -> AsyncGenerator[None]:
        """Within it no other row of the sample is compared."""
        lock = self._turns.setdefault(id, anyio.Lock())
        async with lock:
            yield
        if not lock.locked():
            self._turns.pop(id, None)

    async def counted(self, asking: Asking, sample: Sample, row: Row) -> Row:
        """The row with what its answer counts as beside those to other repeats."""
        known = self._known.get(sample.id, ())
        return await asking.voting(sample, row, known) if known else row

    def add(self, row: Row) -> None:
        """Remember what a row's answer counts as."""
        if self._compares and row.voted is not None:
            known = self._known.setdefault(row.id, [])
            if row.voted not in known:
                known.append(row.voted)
