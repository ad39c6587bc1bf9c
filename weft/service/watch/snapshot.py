"""Plain views, ready for JSON, of programs and engines as they are now. Nothing here waits."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from weft.backends.engine import EngineLoad
from weft.orchestrator.causes.cause import MISSED
from weft.orchestrator.dispatch.replica import Replica
from weft.service.programs.records import CallRecord, ProgramRecord

View = dict[str, Any]
Shown = Callable[[str], str]

_DRAWN = 24  # calls of one program that its timeline shows at most


def waited(call: CallRecord, now: float) -> float:
    """Seconds that a call waited for an engine, till now if it still does."""
    return max(0.0, (call.sent or call.ended or now) - call.came)


def undivided(calls: Iterable[CallRecord]) -> list[CallRecord]:
    """Calls less those of which parts are among them: what engines are really asked."""
    found = list(calls)
    wholes = {call.within for call in found if call.within}
    return [call for call in found if call.id not in wholes] if wholes else found


def state(record: ProgramRecord) -> str:
    """What a program does: its furthest call's phase; else `ended`, `tool` or `idle`."""
    phases = {call.phase for call in undivided(record.live.values())}
    for phase in ("decode", "prefill", "queued"):
        if phase in phases:
            return phase
    if record.over:
        return "ended"
    return "tool" if record.calls and record.calls[-1].tool else "idle"


def program_summary(record: ProgramRecord, now: float, shown: Shown = str) -> View:
    """One line of a list of programs. Tokens are those of calls that have ended.

    Args:
        record: the program.
        now: Unix seconds.
        shown: what texts that name engines become for whoever asks.
    """
    last = record.calls[-1] if record.calls else None
    waiting = sum(waited(call, now) for call in record.live.values() if not call.sent)
    return {
        "id": record.id,
        "name": record.name,
        "tenant": record.tenant,
        "source": record.source,
        "parent": record.parent,
        "state": state(record),
        "began": record.began,
        "seen": record.seen,
        "model": last.model if last is not None else "",
        "engine": shown(last.engine) if last is not None else "",
        "tool": last.tool if last is not None else "",
        "calls": record.count,
        "live": len(record.live),
        "errors": record.errors,
        "prompt": record.prompt,
        "cached": record.cached,
        "generated": record.generated,
        "waited": round(record.waited + waiting, 3),
    }


def program_detail(
    record: ProgramRecord, now: float, shown: Shown = str, *, others: bool = True
) -> View:
    """A program with the graph of its latest calls, oldest first.

    Edges of kind `sequence` lead from a call to those that began after it had ended, without
    those that follow from others; of kind `part` from a request to the calls that it is made
    of; an edge of kind `parent` leads from the program it works for. `others` says whether calls of
    other programs may be named.
    """
    calls = list(record.calls)
    nodes: list[View] = [call_view(call, now, shown, others=others) for call in calls]
    edges: list[View] = [
        {"kind": "sequence", "from": calls[i].id, "to": calls[j].id} for i, j in _sequence(calls)
    ]
    listed = {call.id for call in calls}
    edges += [{"kind": "part", "from": c.within, "to": c.id} for c in calls if c.within in listed]
    if record.parent:
        nodes.insert(0, {"kind": "program", "id": record.parent})
        edges[:0] = [{"kind": "parent", "from": record.parent, "to": c.id} for c in calls[:1]]
    return {
        **program_summary(record, now, shown),
        "omitted": max(0, record.count + record.parts + len(record.live) - len(calls)),
        "graph": {"nodes": nodes, "edges": edges},
    }


def call_view(call: CallRecord, now: float, shown: Shown = str, *, others: bool = True) -> View:
    """A call as a node of its program's graph. Moments that are still to come are None."""
    return {
        "kind": "call",
        "id": call.id,
        "path": call.path,
        "model": call.model,
        "phase": call.phase,
        "came": call.came,
        "sent": call.sent or None,
        "first": call.first or None,
        "ended": call.ended or None,
        "waited": round(waited(call, now), 3),
        "engine": shown(call.engine),
        "where": shown(call.placement_reason),
        "wait": shown(call.wait_reason),
        "wait_cause": call.wait_cause,
        "missed": missed(call, others=others),
        "attempts": call.attempts,
        "status": call.status or None,
        "outcome": call.outcome or None,
        "error": shown(call.error),
        "tool": call.tool,
        "prompt": call.prompt,
        "cached": call.cached,
        "generated": call.generated,
        "media": call.media,
        "estimated": not call.counted,
    }


def missed(call: CallRecord, *, others: bool = True) -> list[View]:
    """Why tokens of a call's prompt were not cached; without the calls of others, or with them."""
    return [
        {
            "cause": one.cause,
            "tokens": one.tokens,
            "why": str(one) if others else f"{one.tokens} tokens: {MISSED[one.cause]}",
        }
        for one in call.missed
    ]


def _sequence(calls: Sequence[CallRecord]) -> list[tuple[int, int]]:
    """Which call directly follows which, by their places in the order in which they came.

    A call stops being one that others follow directly as soon as another one has begun after
    it and ended: later calls follow that one.
    """
    edges: list[tuple[int, int]] = []
    running: list[tuple[float, int]] = []
    direct: list[int] = []
    latest = -math.inf
    for j, call in enumerate(calls):
        while running and running[0][0] <= call.came:
            _, i = heapq.heappop(running)
            direct.append(i)
            latest = max(latest, calls[i].came)
        direct = [i for i in direct if calls[i].ended > latest or calls[i].came == latest]
        edges += [(i, j) for i in direct]
        if call.ended:
            heapq.heappush(running, (call.ended, j))
    return edges


def course(record: ProgramRecord, since: float, origin: float) -> list[list[int]]:
    """A program's calls from `since` on, as timelines draw them, the newest first.

    Each is `[came, sent, first, ended, tool]`: whole milliseconds after `origin`, -1 for what
    is still to come or never came, and 1 if it asked for a tool. The last one listed may have
    ended before `since`: what follows it may be its tool.
    """
    found: list[list[int]] = []
    for call in islice(reversed(undivided(record.calls)), _DRAWN):
        sent, first, ended = call.sent, call.first, call.ended
        found.append(
            [
                int((call.came - origin) * 1e3),
                int((sent - origin) * 1e3) if sent else -1,
                int((first - origin) * 1e3) if first else -1,
                int((ended - origin) * 1e3) if ended else -1,
                1 if call.tool else 0,
            ]
        )
        if ended and ended < since:
            break
    return found


def engine_view(
    replica: Replica, load: EngineLoad | None = None, hits: float | None = None
) -> View:
    """An engine as weft sees it, and as it says itself.

    Args:
        replica: the engine.
        load: what it last said; None if it has not.
        hits: share of its latest prompts' tokens that were cached; None without any.
    """
    known = replica.engine.kv_tokens is not None
    capacity = replica.capacity
    token = replica.decode_seconds(max(1, replica.in_flight))
    prompt = replica.prefill_seconds(1000)
    return {
        "name": replica.name,
        "model": replica.engine.model,
        "alive": replica.alive,
        "draining": replica.draining,
        "error": "" if replica.alive or replica.error is None else str(replica.error),
        "in_flight": replica.in_flight,
        "concurrency": replica.concurrency,
        "queued": replica.queued,
        "programs": replica.programs,
        "capacity": capacity if known else None,
        "reserved": round(replica.reserved / capacity, 3) if known else None,
        "claimed": round(replica.claimed / capacity, 3) if known else None,
        "cached": round(replica.index.cached / replica.index.capacity, 3) if known else None,
        "kv_usage": round(load.kv_usage, 3) if load is not None else None,
        "running": load.running if load is not None else None,
        "waiting": load.waiting if load is not None else None,
        "hits": round(hits, 3) if hits is not None else None,
        "token_seconds": _short(token),
        "prefill_seconds": _short(prompt),
    }


def _short(seconds: float) -> float | None:
    """Four digits of a time; None for 0, which stands for unknown."""
    return float(f"{seconds:.4g}") if seconds > 0 else None
