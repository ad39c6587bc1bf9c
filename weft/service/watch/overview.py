"""Overview: what the dashboard shows, made of what happens and of what is there now."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from weft.backends.engine import EngineLoad
from weft.orchestrator.scheduler import Scheduler
from weft.service.programs.records import CallRecord, ProgramRecord
from weft.service.watch.snapshot import (
    View,
    course,
    engine_view,
    missed,
    program_summary,
    undivided,
    waited,
)

WINDOW = 120.0
"""Seconds that timelines show."""

_SHOWN = 200  # programs
_PLACEMENTS = 50
_RECENT = 100  # calls that hit rates and waits are of

_sent = attrgetter("sent")
_seen = attrgetter("seen")


class Programs(Protocol):
    """Where the programs are that live now."""

    @property
    def programs(self) -> Mapping[str, ProgramRecord]:
        """By their ids."""
        ...


@dataclass(slots=True)
class _Tenant:
    calls: int = 0
    prompt: int = 0
    cached: int = 0
    generated: int = 0
    errors: int = 0
    rejected: int = 0
    waits: deque[float] = field(default_factory=lambda: deque[float](maxlen=_RECENT))


class _Hits:
    """The share of tokens that were cached, of an engine's latest prompts."""

    def __init__(self) -> None:
        self._calls: deque[tuple[int, int]] = deque()
        self._prompt = self._cached = 0

    def add(self, prompt: int, cached: int) -> None:
        self._calls.append((prompt, cached))
        self._prompt += prompt
        self._cached += cached
        if len(self._calls) > _RECENT:
            prompt, cached = self._calls.popleft()
            self._prompt -= prompt
            self._cached -= cached

    @property
    def share(self) -> float | None:
        return self._cached / self._prompt if self._prompt else None


class Overview:
    """An `Observer` that keeps sums, and draws up the whole when it is asked.

    Args:
        registry: has the live programs.
        scheduler: has the engines.
        loads: what engines last said of themselves, by name; looked at anew each time.
        began: when the service began, in Unix seconds; timelines count from it.
    """

    def __init__(
        self,
        registry: Programs,
        scheduler: Scheduler,
        loads: Mapping[str, EngineLoad],
        began: float,
    ) -> None:
        self._registry, self._scheduler, self._loads = registry, scheduler, loads
        self._began = began
        self._tenants: dict[str, _Tenant] = {}
        self._hits: dict[str, _Hits] = {}
        self._placed: deque[CallRecord] = deque(maxlen=_PLACEMENTS)
        self._ended = self._media = 0
        self._outcomes: dict[str, int] = {}
        self._errors: dict[tuple[str, int], int] = {}

    def call_ended(self, call: CallRecord) -> None:
        """Count a call; of one that others are parts of, engines have had only the parts."""
        if call.engine and call.sent:
            self._placed.append(call)
        if call.engine and call.first:
            hits = self._hits.get(call.engine)
            if hits is None:
                hits = self._hits[call.engine] = _Hits()
            hits.add(call.prompt, call.cached)
        if call.within:
            return
        name = call.program.tenant
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = self._tenants[name] = _Tenant()
        tenant.calls += 1
        self._media += call.media
        outcome = call.outcome or "none"
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        if outcome != "done":
            kind = outcome, call.status
            self._errors[kind] = self._errors.get(kind, 0) + 1
        if not call.attempts and call.status in (429, 503):
            tenant.rejected += 1
        elif call.outcome not in ("done", "cancelled"):
            tenant.errors += 1
        tenant.waits.append(waited(call, call.ended))
        if call.sent:
            tenant.prompt += call.prompt
            tenant.cached += call.cached
            tenant.generated += call.generated

    def program_ended(self, program: ProgramRecord, reason: str) -> None:
        """Count a program."""
        self._ended += 1

    def view(self, now: float) -> View:
        """Everything the dashboard shows; equal as long as nothing has happened.

        Times of a program's `course` are milliseconds after `began`, others Unix seconds.
        """
        programs = list(self._registry.programs.values())
        shown = heapq.nlargest(_SHOWN, programs, key=_seen)
        since = now - WINDOW
        live = [call for program in programs for call in undivided(program.live.values())]
        return {
            "began": self._began,
            "window": WINDOW,
            "totals": self._totals(programs, live),
            "engines": self._engines(),
            "programs": [
                {**program_summary(p, now), "course": course(p, since, self._began)} for p in shown
            ],
            "hidden": len(programs) - len(shown),
            "tenants": self._tenant_views(programs),
            "outcomes": dict(sorted(self._outcomes.items())),
            "errors": [
                {"outcome": outcome, "status": status, "calls": calls}
                for (outcome, status), calls in sorted(
                    self._errors.items(), key=lambda item: -item[1]
                )
            ],
            "placements": self._placements(live),
        }

    def _totals(self, programs: list[ProgramRecord], live: list[CallRecord]) -> View:
        tenants, counters = self._tenants.values(), self._scheduler.counters
        phases = [call.phase for call in live]
        return {
            "programs": len(programs),
            "programs_ended": self._ended,
            **{phase: phases.count(phase) for phase in ("queued", "prefill", "decode")},
            **{
                name: sum(getattr(tenant, name) for tenant in tenants)
                for name in ("calls", "prompt", "cached", "generated", "errors", "rejected")
            },
            "media": self._media,
            "forced": counters.forced,
            "revoked": counters.revoked,
            "longest_wait": round(counters.longest_wait, 3),
        }

    def _engines(self) -> list[View]:
        replicas = self._scheduler.replicas
        names = {replica.name for replica in replicas}
        for gone in self._hits.keys() - names:
            del self._hits[gone]
        return [
            engine_view(
                replica,
                self._loads.get(replica.name),
                self._hits[replica.name].share if replica.name in self._hits else None,
            )
            for replica in replicas
        ]

    def _tenant_views(self, programs: Iterable[ProgramRecord]) -> list[View]:
        alive: dict[str, int] = {}
        for program in programs:
            alive[program.tenant] = alive.get(program.tenant, 0) + 1
        views: list[View] = []
        for name in sorted(self._tenants.keys() | alive.keys()):
            tenant = self._tenants.get(name) or _Tenant()
            waits = tenant.waits
            views.append(
                {
                    "name": name,
                    "live": alive.get(name, 0),
                    "calls": tenant.calls,
                    "prompt": tenant.prompt,
                    "cached": tenant.cached,
                    "generated": tenant.generated,
                    "wait": round(sum(waits) / len(waits), 3) if waits else 0.0,
                    "longest_wait": round(max(waits, default=0.0), 3),
                    "errors": tenant.errors,
                    "rejected": tenant.rejected,
                }
            )
        return views

    def _placements(self, live: list[CallRecord]) -> list[View]:
        placed = [*self._placed, *(call for call in live if call.sent and call.engine)]
        return [
            {
                "at": call.sent,
                "program": call.program.id,
                "name": call.program.name,
                "call": call.id,
                "engine": call.engine,
                "waited": round(waited(call, call.sent), 3),
                "where": call.placement_reason,
                "wait": call.wait_reason,
                "wait_cause": call.wait_cause,
                "missed": missed(call),
            }
            for call in heapq.nlargest(_PLACEMENTS, placed, key=_sent)
        ]
