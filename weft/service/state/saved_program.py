"""SavedProgram: a program as the service keeps it in its Store."""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

from weft.orchestrator.restore import CachedChain, SchedulingState
from weft.service.programs.records import ProgramRecord


@dataclass(frozen=True, slots=True)
class SavedProgram:
    """A program as it is kept. Times are Unix seconds; sums are those of `ProgramRecord`.

    Attributes:
        saved: what the scheduler knows of it.
        at: when that was so.
        line: its conversation, if its client sends no id; see `Conversations.keep_line`.
        chain: what it left in its engine's prefix cache, if that is known.
    """

    saved: SchedulingState
    source: str = ""
    parent: str = ""
    began: float = 0.0
    seen: float = 0.0
    count: int = 0
    prompt: int = 0
    cached: int = 0
    generated: int = 0
    waited: float = 0.0
    errors: int = 0
    at: float = 0.0
    line: Mapping[str, Any] | None = None
    chain: CachedChain | None = None

    @classmethod
    def of(
        cls,
        record: ProgramRecord,
        saved: SchedulingState,
        chain: CachedChain | None = None,
        line: Mapping[str, Any] | None = None,
    ) -> SavedProgram:
        """A program as it is now."""
        return cls(
            saved,
            record.source,
            record.parent,
            record.began,
            record.seen,
            record.count,
            record.prompt,
            record.cached,
            record.generated,
            record.waited,
            record.errors,
            time.time(),
            line,
            chain,
        )

    def record(self) -> ProgramRecord:
        """The program's record, without its calls."""
        return ProgramRecord(
            self.saved.id,
            self.saved.tenant,
            self.saved.name,
            self.source,
            self.parent,
            self.began,
            self.seen,
            count=self.count,
            prompt=self.prompt,
            cached=self.cached,
            generated=self.generated,
            waited=self.waited,
            errors=self.errors,
        )

    def row(self) -> dict[str, Any]:
        """It as `Tables` keep it."""
        text: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        text["saved"] = {name: getattr(self.saved, name) for name in _SAVED}
        chain = self.chain
        return {
            "program": key_of(self.saved.id),
            "seen": self.seen,
            # Escapes all that databases don't take as text.
            "kept": json.dumps(text),
            "block_size": chain.block_size if chain is not None else 0,
            "chain": array("Q", chain.hashes).tobytes() if chain is not None else b"",
        }


_PLAIN = [field.name for field in fields(SavedProgram) if field.name not in ("saved", "chain")]
_SAVED = [field.name for field in fields(SchedulingState)]


def key_of(id: str) -> str:
    """The key of a program: short and plain, whatever the client made of its id."""
    return blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
