"""Spans: the programs, nodes, fan-outs and calls of a run, each with what became of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from weft.programs.history.event_file import plain_prompt
from weft.programs.history.journal import Event
from weft.programs.history.outcome import Outcome
from weft.programs.prompt import Prompt
from weft.types import Usage

SpanKind = Literal["program", "node", "fan_out", "call"]
Status = Literal["running", "done", "stopped", "cancelled", "failed"]

Turn = tuple[str, str]
"""Who speaks, and what."""


@dataclass(slots=True)
class Span:
    """A span of a run.

    Attributes:
        id: unique in the run.
        parent: id of the span that it was begun in; None at the top.
        name: of the function; of a call what it does, and in which role.
        began: seconds since the run began.
        ended: the same; None if it still runs.
        status: `stopped` is a span that was cancelled because its fan-out had results enough,
            and `cancelled` one that was for another reason: no failure either.
        width: items of a fan-out; 0 for others.
        settled: branches of a fan-out that had ended when it was left; None if it was not.
        model: of a call.
        turns: of a call's prompt, back to the answer that it goes on from, in order.
        follows: id of the call with that answer.
        uses: ids of the spans that gave what it was given.
        engine: of a call that was sent.
        reason: why it went there.
        stored: whether its result came from the Store.
        outcome: of a call that has ended.
        spent: on an engine by a node itself, such as on embeddings by `model`.
        error: of one that failed.
        tool: whether it is a node in which no call was made.
    """

    id: str
    parent: str | None
    kind: SpanKind
    name: str
    began: float
    ended: float | None = None
    status: Status = "running"
    width: int = 0
    settled: int | None = None
    model: str = ""
    turns: tuple[Turn, ...] = ()
    follows: str | None = None
    uses: tuple[str, ...] = ()
    engine: str = ""
    reason: str = ""
    stored: bool = False
    outcome: Outcome | None = None
    spent: Usage | None = None
    error: str = ""
    tool: bool = field(default=False)


def spans_of(events: Iterable[Event]) -> dict[str, Span]:
    """The spans of a run by their ids, in the order in which they began.

    Args:
        events: of a run, or as `read_events` reads them.
    """
    spans: dict[str, Span] = {}
    left: dict[str, float] = {}  # when a fan-out was left that had results enough
    for event in events:
        span = spans.get(event.id)
        if event.kind in ("program", "node", "fan_out", "call"):
            spans[event.id] = _span_of(event)
        elif span is None or event.kind == "budget":
            continue
        elif event.kind == "sent":
            span.engine, span.reason = event.data["engine"], event.data.get("reason", "")
        else:
            span.ended, span.status = event.at, event.kind
            span.stored = bool(event.data.get("stored"))
            span.error = str(event.data.get("error", ""))
            span.settled = event.data.get("ended")
            span.width = event.data.get("width", span.width)  # of a fan-out that grew
            if event.kind == "done" and "left" in event.data:
                left[span.id] = event.data["left"]
            if "spent" in event.data:
                span.spent = Usage(**event.data["spent"])
            if (outcome := event.data.get("outcome")) is not None:
                span.outcome = _outcome(event.id, outcome)
    _mark(spans, left)
    return spans


def _span_of(event: Event) -> Span:
    data = event.data
    kind = cast(SpanKind, event.kind)
    name = str(data.get("name") or kind)
    if kind == "call":
        name = f"{'score' if data['score'] else 'generate'} ({data['role']})"
    span = Span(event.id, event.parent, kind, name, event.at, width=int(data.get("width", 0)))
    span.uses = tuple(data.get("uses", ()))
    span.model = str(data.get("model", ""))
    if kind == "call":
        span.turns, span.follows = _turns_of(data["prompt"])
    return span


def _turns_of(prompt: Any) -> tuple[tuple[Turn, ...], str | None]:
    """The turns of a prompt back to an answer, and the call that gave this answer."""
    if isinstance(prompt, Prompt):
        prompt = plain_prompt(prompt)
    turns: list[dict[str, str]] = [*prompt.get("before", []), prompt]
    return tuple([(t["role"], t["text"]) for t in turns]), prompt.get("follows")


def _outcome(id: str, outcome: Any) -> Outcome:
    return outcome if isinstance(outcome, Outcome) else Outcome.of(id, json.dumps(outcome))


def _mark(spans: dict[str, Span], left: dict[str, float]) -> None:
    """Tell tools from other nodes, and what was stopped early from what was cancelled."""
    calling: set[str] = set()
    until: dict[str, float] = {}  # of each span: when the innermost such fan-out was left
    for span in spans.values():
        if span.parent in spans:
            if span.parent in left:
                until[span.id] = left[span.parent]
            elif span.parent in until:
                until[span.id] = until[span.parent]
        cut = span.outcome is not None and span.outcome.ended_by
        ended = span.ended if span.ended is not None and not cut else 0.0
        if span.status == "cancelled" and ended >= until.get(span.id, math.inf):
            span.status = "stopped"
        at: Span | None = span if span.kind == "call" else None
        while at is not None and at.parent is not None and at.parent not in calling:
            calling.add(at.parent)
            at = spans.get(at.parent)
    for span in spans.values():
        span.tool = span.kind == "node" and span.id not in calling
