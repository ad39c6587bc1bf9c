"""DecisionLog: the scheduler's decisions in a file, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from weft.errors import ConfigError
from weft.orchestrator.decisions.decision import Decision

DECISIONS = "decisions.jsonl"


class DecisionLog:
    """Decisions, streamed to a file and read back from it.

    Raises:
        ConfigError: the file can't be written, or when read: it can't be, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def writing(self, begun: float = 0.0) -> Generator[Callable[[Decision], None]]:
        """A function that notes a decision, for the time of the block.

        Args:
            begun: what the log's times are counted from, on the scheduler's clock.
        """
        try:
            file = self.path.open("w", encoding="utf-8")
        except OSError as e:
            raise ConfigError(f"can't write {self.path}: {e.strerror}; use another") from None
        with file:

            def note(d: Decision) -> None:
                row: dict[str, float | str] = {
                    "at": round(d.at - begun, 9),
                    "kind": d.kind,
                    "program": d.program,
                    "call": d.call,
                    "engine": d.engine,
                    "reason": d.reason,
                }
                if d.cause:
                    row["cause"] = d.cause
                if d.tokens:
                    row["tokens"] = d.tokens
                file.write(json.dumps(row) + "\n")

            yield note

    def __iter__(self) -> Iterator[Decision]:
        try:
            with self.path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    try:
                        yield Decision(**json.loads(line))
                    except (ValueError, TypeError):
                        raise ConfigError(
                            f"{self.path}:{number}: not a decision; run what wrote it again"
                        ) from None
        except (OSError, UnicodeDecodeError) as e:
            reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
            raise ConfigError(f"can't read {self.path}: {reason}") from None
