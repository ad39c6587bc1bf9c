"""Sessions of coding agents, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, Tag

from weft.parts.parameters import param
from weft.simulation.sources import Source, source
from weft.simulation.sources.contexts import (
    Fresh,
    Run,
    Scale,
    common,
    joined,
    length,
    part,
    space,
)
from weft.simulation.sources.formats.lines import TraceRow, names_in, parse, read_lines, wrong
from weft.simulation.sources.planned_calls import PlannedCalls, carried
from weft.simulation.workload import Job, Parallel, PlannedCall, Step


class _Call(TraceRow):
    t: NonNegativeFloat
    prompt: PositiveInt = Field(alias="in")
    out: NonNegativeInt = 0
    blocks: list[tuple[NonNegativeInt, PositiveInt]]
    think: NonNegativeFloat | None = None
    api: NonNegativeFloat | None = None
    input: tuple[str, ...] = ()
    stop: str = ""

    @property
    def ended(self) -> float:
        return self.t + (self.api or 0.0)


class _Agent(TraceRow):
    """A nested session. Its `t` is when it ended, in the time of the session around it."""

    type: Literal["subagent"]
    t: NonNegativeFloat
    calls: list[_Entry]
    duration_ms: NonNegativeFloat | None = None
    agent_id: str | None = None
    subagent_type: str | None = None
    tool_use_count: int | None = None
    status: str | None = None

    @property
    def began(self) -> float:
        if self.duration_ms:
            return self.t - self.duration_ms / 1000
        last = self.calls[-1] if self.calls else None
        return self.t - (last.ended if isinstance(last, _Call) else 0.0)


def _kind(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        return "<agent>"
    return "<agent>" if isinstance(value, _Agent) else "<call>"


_Entry = Annotated[
    Annotated[_Call, Tag("<call>")] | Annotated[_Agent, Tag("<agent>")], Discriminator(_kind)
]


class _Session(TraceRow):
    id: str
    block_size: PositiveInt
    tool_tokens: NonNegativeInt = 0
    system_tokens: NonNegativeInt = 0
    calls: list[_Entry]


_Agent.model_rebuild()


@source("sessions")
class Sessions(Source):
    """Sessions of coding agents: token counts, cache blocks and timing (see the file's README).

    A prompt's whole blocks are shared just as recorded. What the next prompt has of an answer
    is that answer's content, provided that the next prompt extends this one and is long enough
    to hold the answer; other answers are nobody else's. Sub-agents that ran between two calls
    of their parent run at once.
    """

    path: str = param("", "the file, plain or gzipped", main=True)
    scale: float = param(1.0, "factor on all lengths in tokens", above=0, most=16)
    wait_scale: float = param(1.0, "factor on all waits", least=0)
    wait_max: float = param(float("inf"), "longest wait, seconds", least=0)
    max_tokens: int = param(
        0, "a session ends before its first call that holds more, 0 for no limit", least=0
    )
    max_calls: int = param(0, "most calls of a session, 0 for no limit", least=0)
    limit: int = param(0, "most sessions, 0 for no limit", least=0)
    shared_system: bool = param(
        False, "sessions with equally long tools and system prompts share them"
    )

    @classmethod
    def recognizes(cls, line: str) -> bool:
        """A line with `calls`."""
        return "calls" in names_in(line)

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The sessions of at least two calls, in the file's order."""
        path = Path(self.path).expanduser()
        scale = Scale(self.scale, block_size)
        made = 0
        names: set[str] = set()
        for at, line in read_lines(path):
            session = parse(path, at, line, _Session)
            if session.id in names:
                wrong(path, at, "id", f"is {session.id!r}, which an earlier line has")
            names.add(session.id)
            _check(path, at, session.calls, session.block_size)
            calls = self._fitting(session.calls, scale, self.max_calls)
            if sum(isinstance(c, _Call) for c in calls) < 2:
                continue
            yield Job(session.id, _Player(self, session, scale).steps(calls), name="coding_agent")
            made += 1
            if made == self.limit:
                return

    def _fitting(self, calls: list[_Entry], scale: Scale, most: int) -> list[_Entry]:
        kept: list[_Entry] = []
        count = 0
        for entry in calls:
            if isinstance(entry, _Call):
                held = scale.tokens(entry.prompt) + scale.tokens(entry.out)
                if (self.max_tokens and held > self.max_tokens) or (most and count == most):
                    break
                count += 1
                kept.append(entry)
            elif inner := self._fitting(entry.calls, scale, 0):
                kept.append(entry.model_copy(update={"calls": inner}))
        return kept


class _Player:
    """Makes the steps of one session."""

    def __init__(self, settings: Sessions, session: _Session, scale: Scale) -> None:
        self._settings, self._scale, self._size = settings, scale, session.block_size
        self._space = space(f"session:{session.id}")
        self._fresh = Fresh(f"answers:{session.id}")
        self._lead: list[Run] = []
        self._shared: list[Run] = []
        if settings.shared_system:
            first = next(c for c in session.calls if isinstance(c, _Call))
            system = session.tool_tokens + session.system_tokens
            own = self._own(first)
            system = min(system, length(own)) // self._size * self._size
            name = f"system:{session.tool_tokens}:{session.system_tokens}"
            self._lead, self._shared = part(own, 0, system), [(space(name), system)]

    def steps(self, entries: Sequence[_Entry], stage: str = "turn") -> Iterator[Step]:
        """What a session does; the blocks of a turn are made when it is asked for."""
        calls = [(i, e) for i, e in enumerate(entries) if isinstance(e, _Call)]
        held = [(self._own(e), e.prompt, e.out) for _, e in calls]
        contexts = carried(held, self._scale, self._fresh)
        planned = PlannedCalls(self._scale, self._fresh)
        leading = entries[: calls[0][0]] if calls else entries
        yield from self._agents(leading, calls[0][1].t if calls else None)
        for n, (i, call) in enumerate(calls):
            following = calls[n + 1] if n + 1 < len(calls) else None
            agents = entries[i + 1 : following[0] if following else None]
            wait, tool = _wait(call, following[1] if following else None)
            begins = min((e.began for e in agents if isinstance(e, _Agent)), default=None)
            if begins is not None:
                done = following[1].t - wait if following else call.ended
                wait, tool = max(0.0, begins - done), "subagent"
            wait = self._capped(wait)
            yield planned.make(
                contexts[n], call.prompt, call.out, wait=wait, tool=tool, stage=stage
            )
            yield from self._agents(agents, following[1].t if following else None)

    def _capped(self, wait: float) -> float:
        return min(wait * self._settings.wait_scale, self._settings.wait_max)

    def _agents(self, entries: Sequence[_Entry], until: float | None) -> Iterator[Step]:
        """The sub-agents as steps: those that overlap in time run at once."""
        agents = sorted((e for e in entries if isinstance(e, _Agent)), key=lambda e: e.began)
        while agents:
            group = [agents.pop(0)]
            while agents and agents[0].began < max(e.t for e in group):
                group.append(agents.pop(0))
            ended = max(e.t for e in group)
            after = agents[0].began if agents else until
            wait = self._capped(max(0.0, after - ended)) if after is not None else 0.0
            branches = [list(self.steps(e.calls, "subagent")) for e in group]
            for steps in branches:
                if isinstance(last := steps[-1], PlannedCall):
                    steps[-1] = PlannedCall(
                        last.prompt, last.answer, last.blocks, wait, "subagent", last.stage
                    )
            yield Parallel(tuple(tuple(steps) for steps in branches))

    def _own(self, call: _Call) -> list[Run]:
        """The tokens of a prompt's whole blocks."""
        size = self._size
        own = joined((self._space + first * size, count * size) for first, count in call.blocks)
        lead = length(self._lead)
        if lead and common(own, self._lead) == lead:
            return [*self._shared, *part(own, lead, length(own))]
        return own


def _wait(call: _Call, following: _Call | None) -> tuple[float, str]:
    """Seconds from a call's answer to the next call, and what is waited for."""
    if following is None:
        return 0.0, ""
    wait = following.think
    if wait is None:
        wait = 0.0 if call.api is None else max(0.0, following.t - call.ended)
    return wait, "person" if "text" in following.input else "tool"


def _check(path: Path, at: int, entries: Sequence[_Entry], size: int, where: str = "") -> None:
    """Refuse what the fields' types can't."""
    if not entries:
        wrong(path, at, f"{where}calls", "is empty")
    before = 0.0
    for i, entry in enumerate(entries):
        name = f"{where}calls[{i}]"
        if entry.t < before:
            wrong(path, at, f"{name}.t", f"is {entry.t:g}, before the entry ahead of it")
        before = entry.t
        if isinstance(entry, _Agent):
            _check(path, at, entry.calls, size, f"{name}.")
        elif (held := sum(count for _, count in entry.blocks)) != entry.prompt // size:
            what = f"has {held} blocks where {entry.prompt} tokens have {entry.prompt // size}"
            wrong(path, at, f"{name}.blocks", what)
