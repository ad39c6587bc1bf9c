"""Requests of a chat service, one JSON object a line, as published with Mooncake (2025)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from weft.parts.parameters import param
from weft.simulation.sources import Source, source
from weft.simulation.sources.contexts import Fresh, Scale, space
from weft.simulation.sources.formats.lines import TraceRow, names_in, parse, read_lines, wrong
from weft.simulation.sources.planned_calls import PlannedCalls
from weft.simulation.workload import Job

_BLOCK = 512


class _Request(TraceRow):
    timestamp: NonNegativeFloat
    input_length: PositiveInt
    output_length: NonNegativeInt
    hash_ids: list[NonNegativeInt]


@source("mooncake")
class Mooncake(Source):
    """Independent requests, each a job of one call (Mooncake, FAST 2025).

    Fields of a line: `timestamp` in ms, `input_length`, `output_length`, and `hash_ids`, one
    for each 512 tokens of the prompt, the last ones included if they are fewer. Requests share
    the prefix on which their ids agree. Answers are nobody else's.
    """

    path: str = param("", "the file, plain or gzipped", main=True)
    scale: float = param(1.0, "factor on all lengths in tokens", above=0, most=16)
    max_tokens: int = param(0, "requests that hold more are left out, 0 for no limit", least=0)
    limit: int = param(0, "most requests, 0 for no limit", least=0)

    @classmethod
    def recognizes(cls, line: str) -> bool:
        """A line with `hash_ids` of its own."""
        return "hash_ids" in (names := names_in(line)) and "calls" not in names

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The requests in the file's order."""
        path = Path(self.path).expanduser()
        scale, tokens = Scale(self.scale, block_size), space("mooncake")
        made = 0
        for at, line in read_lines(path):
            row = parse(path, at, line, _Request)
            if len(row.hash_ids) != (due := -(-row.input_length // _BLOCK)):
                what = f"has {len(row.hash_ids)} ids where {row.input_length} tokens take {due}"
                wrong(path, at, "hash_ids", what)
            prompt, answer = scale.tokens(row.input_length), scale.tokens(row.output_length)
            if self.max_tokens and prompt + answer > self.max_tokens:
                continue
            context = [(tokens + id * _BLOCK, _BLOCK) for id in row.hash_ids]
            context[-1] = (context[-1][0], row.input_length - _BLOCK * (due - 1))
            fresh = Fresh(f"mooncake:{at}")
            context.append(fresh(row.output_length))
            planned = PlannedCalls(scale, fresh).make(context, row.input_length, row.output_length)
            yield Job(str(at), (planned,), arrival=row.timestamp / 1000, name="request", calls=1)
            made += 1
            if made == self.limit:
                return
