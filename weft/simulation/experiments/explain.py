"""Why a call went where and when, in sentences, from what a run has left."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from weft.errors import UnknownName
from weft.orchestrator.causes.cause import WAITED
from weft.orchestrator.decisions.decision import Decision

_AT_ONCE = 0.001  # seconds; what the scheduler itself takes is no wait


@dataclass(frozen=True, slots=True)
class Wait:
    """A call that waited.

    Attributes:
        call: its id.
        seconds: from when it came to when it started.
        came: when, on the log's clock.
        engine: where it went.
        reason: why the first engine that was asked could not start it; empty if others were
            ahead of it until it started.
        cause: of the longest part of the wait, by its name (see `weft.orchestrator.causes`).
    """

    call: str
    seconds: float
    came: float
    engine: str
    reason: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Missed:
    """Tokens of prompts that were computed for one cause.

    Attributes:
        cause: its name.
        tokens: how many, of all calls.
        calls: how many calls had any.
    """

    cause: str
    tokens: int
    calls: int


def misses(decisions: Iterable[Decision]) -> list[Missed]:
    """What was computed, by cause, the largest part first."""
    tokens: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for d in decisions:
        if d.kind == "miss":
            tokens[d.cause] += d.tokens
            calls[d.cause] += 1
    return [Missed(cause, count, calls[cause]) for cause, count in tokens.most_common()]


def longest_waits(decisions: Iterable[Decision], most: int = 10) -> list[Wait]:
    """The calls that waited longest, the longest first; those that did not are left out."""
    return heapq.nsmallest(most, _waits(decisions), key=lambda w: (-w.seconds, w.came))


def _waits(decisions: Iterable[Decision]) -> Iterator[Wait]:
    came: dict[str, tuple[float, str]] = {}
    for d in decisions:
        if d.kind == "come":
            came.setdefault(d.call, (d.at, ""))
        elif d.kind == "wait":
            came[d.call] = came[d.call][0], d.reason
        elif d.kind == "start":
            at, reason = came.pop(d.call)
            if d.at >= at + _AT_ONCE:
                yield Wait(d.call, d.at - at, at, d.engine, reason, d.cause)


def explain(decisions: Iterable[Decision], call: str) -> list[str]:
    """What happened to a call and to its program around it, one sentence or two an item.

    Args:
        decisions: of the whole run, in order; read twice.
        call: its id.

    Raises:
        UnknownName: there is no such call.
    """
    program, known = "", dict[str, None]()
    for d in decisions:
        if d.call == call:
            program = d.program
            break
        known[d.call] = None
    else:
        known.pop("", None)
        raise UnknownName("call", call, known)
    course = [d for d in decisions if d.program == program]
    places = [i for i, d in enumerate(course) if d.call == call]
    mine = [course[i] for i in places]
    way = list(_way(mine))
    mine = [d for d in mine if d.kind != "miss"]
    return [
        f"Call {call} of program {program} came at {_time(mine[0].at)}.",
        _before(course[: places[0]]),
        *way,
        _after(course[places[-1] + 1 :], mine),
    ]


def _way(mine: list[Decision]) -> Iterator[str]:
    """From the call's coming to its end; more than once around if engines died."""
    came, refused = mine[0].at, False
    for d in mine:
        if d.kind == "come":
            came, refused = d.at, False
            where = f" for {d.engine}" if d.engine else ""
            yield f"Its place among those that wait{where}: {d.reason}."
        elif d.kind == "wait":
            refused = True
            yield (
                f"It could not start at once: {d.reason}."
                if d.at < came + _AT_ONCE
                else f"Others were ahead of it until {_time(d.at)}; then it could not start: "
                f"{d.reason}."
            )
        elif d.kind == "start":
            if d.at >= came + _AT_ONCE and not refused:
                yield f"Others were ahead of it until {_time(d.at)}."
            waited = f"after {_span(d.at - came)}" if d.at >= came + _AT_ONCE else "at once"
            yield f"It went to {d.engine} {waited}, at {_time(d.at)}: {d.reason}."
            if d.cause:
                yield f"The cause of most of its wait: {WAITED.get(d.cause, d.cause)}."
        elif d.kind == "end":
            yield f"It ended at {_time(d.at)}: {d.reason}."
        elif d.kind == "miss":
            yield f"Of its prompt, {d.reason}."
    last = [d for d in mine if d.kind != "miss"][-1].kind
    if last in ("come", "wait"):
        yield "It never started: it was cancelled while it waited, or no engine was left."
    elif last == "start":
        yield "The log ends before it does."


def _before(course: list[Decision]) -> str:
    """What the program had when the call came."""
    if not course:
        return "It was its program's first call."
    claim: Decision | None = None
    running = 0
    for d in course:
        if d.kind in ("retain", "release"):
            claim = d
        elif d.kind == "start":
            running, claim = running + 1, None
        elif d.kind == "end":
            running -= 1
    if running:
        return f"Its program was running {running} other call{'s' * (running > 1)} then."
    return f"Before it, {_claim(claim)}." if claim else "Other calls of its program waited then."


def _after(course: list[Decision], mine: list[Decision]) -> str:
    """What became of the program's room when the call had ended."""
    if mine[-1].kind != "end":
        return "What became of its program after it is not known."
    said: list[str] = []
    for d in course:
        if d.kind == "come":
            said.append(f"the next call came at {_time(d.at)}")
            break
        if d.kind in ("retain", "release"):
            said.append(_claim(d))
    return f"After it, {'; '.join(said)}." if said else "Its program had other calls to run."


def _claim(d: Decision) -> str:
    if d.kind == "release":
        return f"its program's room was given up at {_time(d.at)}: {d.reason}"
    return f"its program's room on {d.engine} was {d.reason}"


def _time(seconds: float) -> str:
    return f"{seconds:,.3f} s"


def _span(seconds: float) -> str:
    return f"{seconds:,.1f} s" if seconds >= 10 else f"{seconds:,.3f} s"
