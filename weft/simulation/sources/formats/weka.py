"""Traces of coding agents as Weka's kv-cache-tester publishes them, which AIPerf replays (2026)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, Tag

from weft.parts.parameters import param
from weft.simulation.sources import Source, source
from weft.simulation.sources.contexts import Fresh, Run, Scale, joined, space
from weft.simulation.sources.formats.lines import (
    TraceRow,
    files_of,
    names_in,
    parse,
    read_objects,
    wrong,
)
from weft.simulation.sources.formats.overlaps import Timed, TracedRequest, steps
from weft.simulation.workload import Job


class _Request(TraceRow):
    t: NonNegativeFloat
    type: Literal["n", "s"]
    model: str = ""
    prompt: PositiveInt = Field(alias="in")
    out: NonNegativeInt
    hash_ids: tuple[NonNegativeInt, ...] = ()
    input_types: tuple[str, ...] = ()
    output_types: tuple[str, ...] = ()
    stop: str | None = ""
    api_time: NonNegativeFloat | None = None
    think_time: NonNegativeFloat | None = None
    ttft: NonNegativeFloat | None = None

    @property
    def ended(self) -> float:
        return self.t + (self.api_time or 0.0)


class _Subagent(TraceRow):
    type: Literal["subagent"]
    t: NonNegativeFloat
    requests: list[_Entry]
    agent_id: str = ""
    subagent_type: str = ""
    duration_ms: NonNegativeFloat | None = None
    total_tokens: NonNegativeInt | None = None
    tool_use_count: NonNegativeInt | None = None
    status: str = ""
    models: tuple[str, ...] = ()
    tool_tokens: NonNegativeInt = 0
    system_tokens: NonNegativeInt = 0


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "<agent>" if value.get("type") == "subagent" else "<request>"  # pyright: ignore[reportUnknownMemberType]
    return "<agent>" if isinstance(value, _Subagent) else "<request>"


_Entry = Annotated[
    Annotated[_Request, Tag("<request>")] | Annotated[_Subagent, Tag("<agent>")],
    Discriminator(_kind),
]


class _Trace(TraceRow):
    id: str
    models: tuple[str, ...] = ()
    block_size: PositiveInt
    hash_id_scope: Literal["local", "global"] = "local"
    tool_tokens: NonNegativeInt = 0
    system_tokens: NonNegativeInt = 0
    requests: list[_Entry]
    totals: dict[str, Any] | None = None


_Subagent.model_rebuild()


@source("weka")
class Weka(Source):
    """Traces of coding agents in Weka's format, which AIPerf's agentic scenario replays.

    A file holds one trace, or one trace a line; a folder holds such files. A prompt has the
    content that its `hash_ids` name, one for each block: within its trace, or in all traces if
    `hash_id_scope` is `global`. Of a prompt without `hash_ids` nothing is shared. All models of
    a trace are played as one.

    Requests that overlapped run at once: each goes on from the request that had ended before,
    and whose prompt it has most of. So do sub-agents. What ran at once begins at once: by how much
    one began after the other is not kept. The program goes on when all of it has ended.

    A sub-agent's `t` is when it began. The first published traces have when it ended, with times
    within it from its own begin on. They are known by sub-agents that would outlast their
    parent's next request.
    """

    path: str = param("", "the file, plain or gzipped, or a folder of files", main=True)
    scale: float = param(1.0, "factor on all lengths in tokens", above=0, most=16)
    wait_scale: float = param(1.0, "factor on all waits", least=0)
    wait_max: float = param(float("inf"), "longest wait, seconds", least=0)
    max_tokens: int = param(
        0, "a session ends before its first call that holds more, 0 for no limit", least=0
    )
    max_calls: int = param(0, "most calls of a session, 0 for no limit", least=0)
    limit: int = param(0, "most sessions, 0 for no limit", least=0)

    @classmethod
    def recognizes(cls, line: str) -> bool:
        """A line with `requests`, also one that is cut off, or the first line of a wide object."""
        if names := names_in(line):
            return "requests" in names
        head = line.lstrip()
        return head.startswith("{") and (head.strip() == "{" or '"requests":' in head)

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The traces of at least one request, in the order of files and lines."""
        scale = Scale(self.scale, block_size)
        made = 0
        names: set[str] = set()
        for path in files_of(Path(self.path).expanduser()):
            for at, text in read_objects(path):
                trace = parse(path, at, text, _Trace)
                if trace.id in names:
                    wrong(path, at, "id", f"is {trace.id!r}, which an earlier trace has")
                names.add(trace.id)
                _check(path, at, trace.requests, trace.block_size)
                entries = self._fitting(trace.requests, scale, self.max_calls)
                if not entries:
                    continue
                scope = "" if trace.hash_id_scope == "global" else f":{trace.id}"
                spans = _Spans(trace.block_size, space(f"weka{scope}")).of(entries)
                fresh = Fresh(f"weka:answers:{trace.id}")
                played = steps(spans, scale, fresh, self._capped)
                yield Job(trace.id, played, name="coding_agent")
                made += 1
                if made == self.limit:
                    return

    def _fitting(self, entries: list[_Entry], scale: Scale, most: int) -> list[_Entry]:
        kept: list[_Entry] = []
        count = 0
        for entry in entries:
            if isinstance(entry, _Request):
                held = scale.tokens(entry.prompt) + scale.tokens(entry.out)
                if (self.max_tokens and held > self.max_tokens) or (most and count == most):
                    break
                count += 1
                kept.append(entry)
            elif inner := self._fitting(entry.requests, scale, 0):
                kept.append(entry.model_copy(update={"requests": inner}))
        return kept

    def _capped(self, wait: float) -> float:
        return min(wait * self.wait_scale, self.wait_max)


class _Spans:
    """Makes spans in one time of a trace's entries."""

    def __init__(self, size: int, tokens: int) -> None:
        self._size, self._tokens = size, tokens

    def of(self, entries: list[_Entry], shift: float = 0.0) -> list[Timed]:
        """The spans; `shift` is what is added to the times of these entries."""
        made: list[Timed] = []
        for i, entry in enumerate(entries):
            if isinstance(entry, _Request):
                made.append(self._request(entry, shift, i > 0))
                continue
            later = (e.t for e in entries[i + 1 :] if isinstance(e, _Request))
            made.append(self._agent(entry, next(later, float("inf")), shift))
        return sorted(made, key=lambda span: span.began)

    def _request(self, entry: _Request, shift: float, after: bool) -> Timed:
        size = self._size
        runs = joined((self._tokens + id * size, size) for id in entry.hash_ids)
        whole = entry.prompt // size * size
        known = runs if len(entry.hash_ids) * size <= whole else _cut(runs, entry.prompt)
        request = TracedRequest(
            known,
            entry.prompt,
            entry.out,
            entry.think_time if after else None,
            "text" in entry.input_types,
        )
        return Timed(entry.t + shift, entry.ended + shift, request)

    def _agent(self, agent: _Subagent, following: float, shift: float) -> Timed:
        """A sub-agent, which has begun at its `t` unless it can't have."""
        absolute = agent.requests[0].t >= agent.t
        inner = self.of(agent.requests, 0.0)
        last = max(span.ended for span in inner)
        lasted = (agent.duration_ms or 0.0) / 1000 or (last - agent.t if absolute else last)
        began = agent.t
        if not absolute and agent.t + lasted > following + 1:  # times may be whole seconds
            began = max(0.0, agent.t - lasted)
        inner = self.of(agent.requests, shift if absolute else began + shift)
        return Timed(began + shift, began + lasted + shift, inner)


def _cut(runs: list[Run], tokens: int) -> list[Run]:
    """The runs without what the last block is short of."""
    first, count = runs[-1]
    short = sum(count for _, count in runs) - tokens
    return [*runs[:-1], (first, count - short)]


def _check(path: Path, at: int, entries: list[_Entry], size: int, where: str = "") -> None:
    """Refuse what the fields' types can't."""
    if not entries and not where:  # a sub-agent may have asked nothing
        wrong(path, at, "requests", "is empty")
    before = 0.0
    for i, entry in enumerate(entries):
        name = f"{where}requests[{i}]"
        if isinstance(entry, _Subagent):
            _check(path, at, entry.requests, size, f"{name}.")
            continue
        if entry.t < before:
            wrong(path, at, f"{name}.t", f"is {entry.t:g}, before the request ahead of it")
        before = entry.t
        blocks, due = len(entry.hash_ids), entry.prompt // size
        if blocks not in (0, due, -(-entry.prompt // size)):
            what = f"has {blocks} ids where {entry.prompt} tokens have {due} blocks of {size}"
            wrong(path, at, f"{name}.hash_ids", what)
