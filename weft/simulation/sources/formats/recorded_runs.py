"""Runs of programs, as `weft run --out` writes them: events, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from weft.errors import ConfigError
from weft.parts.parameters import param
from weft.simulation.sources import Source, source
from weft.simulation.sources.contexts import Fresh, Scale
from weft.simulation.sources.formats.lines import TraceRow, names_in, parse, read_lines
from weft.simulation.sources.formats.recorded_texts import Texts
from weft.simulation.sources.planned_calls import PlannedCalls
from weft.simulation.workload import Job, Parallel, PlannedCall, Step

EVENTS = "events.jsonl"
"""What a run's folder has its events in."""
_BEGINS = ("program", "node", "fan_out", "call")


class _Event(TraceRow):
    at: float
    kind: str
    id: str
    parent: str | None
    data: dict[str, Any]


@dataclass(slots=True)
class _Span:
    """A part of the run: when it began and ended, in seconds and in the order of events."""

    id: str
    parent: str | None
    kind: str
    data: dict[str, Any]
    at: float
    first: int
    until: float = 0.0
    last: int = 0
    became: str = ""
    outcome: dict[str, Any] = field(default_factory=dict[str, Any])
    inner: list[_Span] = field(default_factory=list["_Span"])

    @property
    def name(self) -> str:
        return str(self.data.get("name") or "")


@dataclass(slots=True)
class _Piece:
    """Steps that a part of the run takes: from its first call's beginning to its last one's end."""

    at: float
    first: int
    until: float
    last: int
    steps: list[Step]
    cut: bool = False
    """Whether its last call was cut off."""


@source("recorded")
class RecordedRuns(Source):
    """A run of a program, from the folder or the events of `weft run --out DIR`.

    The run is one program of the workload, or `copies` of them. Parts that ran at once are
    branches that run at once; those that were cut off when enough others had ended are cut off
    again, and are taken to be as long as the longest answer of their stage. What lies between
    two calls, such as tools, people and waits, is a wait of the recorded length, under the name of
    what took longest. Prompts share what their texts share: weft's records have texts, not token
    ids, so a shared beginning counts by its letters. Copies share the system's turn alone.
    """

    path: str = param("", "the folder of a run, or its events.jsonl", main=True)
    copies: int = param(1, "how many programs are like this run", least=1)
    scale: float = param(1.0, "factor on all lengths in tokens", above=0, most=16)
    wait_scale: float = param(1.0, "factor on all waits", least=0)
    wait_max: float = param(float("inf"), "longest wait, seconds", least=0)

    @classmethod
    def recognizes(cls, line: str) -> bool:
        """A line that is an event of a run."""
        return names_in(line) == set(_Event.model_fields)

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The run, as often as it is wanted."""
        path = events_of(Path(self.path).expanduser())
        top, calls = _read(path)
        name = next((one.name for one in top if one.name), "run")
        texts = Texts([call.data["prompt"] for call in calls], [_tokens(one)[0] for one in calls])
        for copy in range(self.copies):
            salt = f"{path}:{copy}" if copy else ""
            piece = _Maker(self, calls, texts, salt, Scale(self.scale, block_size)).whole(top)
            if piece is None:
                raise ConfigError(f"{path} has no calls to models; record a run that makes some")
            yield Job(f"{name}-{copy + 1}", tuple(piece.steps), name=name)


def events_of(path: Path) -> Path:
    """The file that a path means: of a run's folder, that with the events."""
    return path / EVENTS if (path / EVENTS).is_file() else path


def _read(path: Path) -> tuple[list[_Span], list[_Span]]:
    """The outermost parts of a run, and all its calls in the order in which they began."""
    spans: dict[str, _Span] = {}
    top: list[_Span] = []
    calls: list[_Span] = []
    at, number = 0.0, 0
    for number, line in read_lines(path):
        event = parse(path, number, line, _Event)
        at = event.at
        if event.kind in _BEGINS:
            made = _Span(event.id, event.parent, event.kind, event.data, at, number)
            spans[event.id] = made
            (spans[made.parent].inner if made.parent in spans else top).append(made)
            if event.kind == "call":
                calls.append(made)
        elif event.id in spans and event.kind in ("done", "cancelled", "failed"):
            span = spans[event.id]
            span.until, span.last, span.became = at, number, event.kind
            span.outcome = event.data.get("outcome") or {}
    for span in spans.values():
        if not span.last:  # the run was broken off
            span.until, span.last, span.became = at, number + 1, "cancelled"
    return top, [one for one in calls if one.became != "failed" or one.outcome]


def _tokens(call: _Span) -> tuple[int, int]:
    """How many tokens the prompt of a call has, and its answer; 0 where nothing is known."""
    usage = cast("dict[str, int]", call.outcome.get("usage") or {})
    prompt = usage.get("prompt") or call.outcome.get("prompt_tokens") or 0
    return int(prompt), usage.get("completion", 0) or usage.get("cancelled", 0)


class _Maker:
    """Makes the steps of one copy of a run."""

    def __init__(
        self, settings: RecordedRuns, calls: Sequence[_Span], texts: Texts, salt: str, scale: Scale
    ) -> None:
        self._settings, self._texts, self._salt = settings, texts, salt
        self._scale, self._fresh = scale, Fresh(f"recorded:{salt}")
        self._calls = {call.id: call for call in calls}
        self._longest: dict[str, int] = {}
        self._tools: list[_Span] = []

    def whole(self, top: Sequence[_Span]) -> _Piece | None:
        """The steps of the run, whose outermost parts are given."""
        self._learn(top, "run")
        return self._arranged(top, "run")

    def _arranged(self, spans: Sequence[_Span], stage: str) -> _Piece | None:
        """The steps of parts that one part of the run has: one after the other, or at once."""
        pieces = [made for one in spans if (made := self._piece(one, stage)) is not None]
        pieces.sort(key=lambda one: one.first)
        groups: list[list[_Piece]] = []
        for one in pieces:
            if groups and one.first < max(before.last for before in groups[-1]):
                groups[-1].append(one)
            else:
                groups.append([one])
        return self._line([self._at_once(group) for group in groups])

    def _learn(self, spans: Sequence[_Span], stage: str) -> None:
        """See how long the answers of each stage are, and what the run waited for."""
        for span in spans:
            if span.kind == "call":
                if span.became == "done":
                    _, answer = _tokens(span)
                    self._longest[stage] = max(answer, self._longest.get(stage, 1))
            elif span.kind == "node" and not _calls_in(span):
                self._tools.append(span)
            self._learn(span.inner, span.name or stage)

    def _piece(self, span: _Span, stage: str) -> _Piece | None:
        if span.kind != "call":
            return self._arranged(span.inner, span.name or stage)
        if span.id not in self._calls:
            return None
        prompt, answer = _tokens(span)
        cut = span.became == "cancelled"
        if cut:
            answer = max(answer + 1, self._longest.get(stage, 1))
        context, prompt = self._texts.context(span.data["prompt"], prompt, self._salt)
        answer = max(answer, 1)
        context = [*context, self._texts.answer(span.id, answer, self._salt)]
        self._texts.note(span.id, context)
        planned = PlannedCalls(self._scale, self._fresh)
        made = planned.make(context, prompt, answer, stage=stage)
        return _Piece(span.at, span.first, span.until, span.last, [made], cut)

    def _at_once(self, group: list[_Piece]) -> _Piece:
        """Pieces that overlap: those that began when another had ended go on with its branch."""
        lanes: list[list[_Piece]] = []
        for one in group:
            free = [lane for lane in lanes if lane[-1].last < one.first]
            if free:
                max(free, key=lambda lane: lane[-1].last).append(one)
            else:
                lanes.append([one])
        joined = [lane[0] if len(lane) == 1 else cast(_Piece, self._line(lane)) for lane in lanes]
        if len(joined) == 1:
            return joined[0]
        whole = sum(not one.cut for one in joined)
        first, last = min(joined, key=lambda p: p.first), max(joined, key=lambda p: p.last)
        enough = whole if 0 < whole < len(joined) else None
        step = Parallel(tuple(tuple(one.steps) for one in joined), enough)
        return _Piece(first.at, first.first, last.until, last.last, [step], not whole)

    def _line(self, pieces: Sequence[_Piece]) -> _Piece | None:
        """Pieces one after the other, with the waits between them."""
        if not pieces:
            return None
        steps: list[Step] = []
        for one, following in zip(pieces, [*pieces[1:], None], strict=True):
            steps += one.steps
            if following is not None:
                wait, tool = self._wait(one.until, following.at)
                steps[-1] = _waiting(steps[-1], wait, tool)
        first, last = pieces[0], pieces[-1]
        return _Piece(first.at, first.first, last.until, last.last, steps, last.cut)

    def _wait(self, begin: float, end: float) -> tuple[float, str]:
        """Seconds between two steps, and the tool that took the most of them."""
        shares: dict[str, float] = {}
        for tool in self._tools:
            share = min(end, tool.until) - max(begin, tool.at)
            if share > 0:
                shares[tool.name] = shares.get(tool.name, 0.0) + share
        wait = max(0.0, end - begin) * self._settings.wait_scale
        longest = max(shares, key=lambda name: shares[name], default="")
        return min(wait, self._settings.wait_max), longest


def _calls_in(span: _Span) -> bool:
    return any(one.kind == "call" or _calls_in(one) for one in span.inner)


def _waiting(step: Step, wait: float, tool: str) -> Step:
    """A step with a wait behind it; of branches, each waits."""
    if isinstance(step, PlannedCall):
        return replace(step, wait=wait, tool=tool)
    ends = [(*branch[:-1], _waiting(branch[-1], wait, tool)) for branch in step.branches]
    return replace(step, branches=tuple(ends))
