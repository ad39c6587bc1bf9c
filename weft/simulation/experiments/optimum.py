"""How far a placement's hit rate is from the best that any eviction could have given it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from weft.cache.belady import Access, best_hits
from weft.simulation.records import PlayedCall
from weft.simulation.workload import PlannedCall


@dataclass(slots=True)
class _Line:
    """The longest of some contexts, each of which begins with the ones before it."""

    blocks: Sequence[int]


class Trace:
    """What the calls of a play found and left in the caches of their engines.

    Programs mostly extend their contexts, so a program's calls share one list of blocks as
    long as each begins with the one before.

    Args:
        block_size: of the workload, tokens.
    """

    def __init__(self, block_size: int) -> None:
        self._size = block_size
        self._sent: dict[str, tuple[PlayedCall, _Line, int]] = {}
        self._lines: dict[str, tuple[_Line, int]] = {}

    def on_sent(self, record: PlayedCall, planned: PlannedCall) -> None:
        """A call goes to an engine; for `play(on_sent=...)`."""
        blocks, count = planned.blocks, len(planned.blocks)
        line, before = self._lines.get(record.job, (None, 0))
        # Hashes are chained: where two contexts agree, they agree on all before.
        if (
            line
            and before <= count
            and (not before or line.blocks[before - 1] == blocks[before - 1])
        ):
            line.blocks = blocks
        else:
            line = _Line(blocks)
        self._lines[record.job] = line, count
        self._sent.pop(record.id, None)  # an engine died; the last one counts
        self._sent[record.id] = record, line, count

    def best_hit_rate(self, kv_tokens: int) -> float:
        """The share of prompt tokens that could have been found cached.

        Every engine has the calls that it had, in the order in which they were sent, one after
        the other, and evicts what is needed farthest in the future (Belady 1966). Calls that
        did not finish are part of that, but their prompts are not counted, as in
        `Metrics.hit_rate`.

        Args:
            kv_tokens: tokens that the KV cache of one engine holds.
        """
        engines: dict[str, list[tuple[PlayedCall, _Line, int]]] = defaultdict(list)
        for entry in self._sent.values():
            engines[entry[0].engine].append(entry)
        cached = prompts = 0
        for entries in engines.values():
            hits = best_hits([self._access(*e) for e in entries], kv_tokens // self._size)
            done = [
                (h, record) for h, (record, *_) in zip(hits, entries, strict=True) if record.done
            ]
            cached += sum(h for h, _ in done) * self._size
            prompts += sum(record.prompt for _, record in done)
        return cached / prompts if prompts else 0.0

    def _access(self, record: PlayedCall, line: _Line, count: int) -> Access:
        # Keys and values of the last token generated are never there.
        left = (record.prompt + max(0, record.answer - 1)) // self._size
        return Access(line.blocks[: min(count, left)], (record.prompt - 1) // self._size)
