"""Spans of a run for OpenTelemetry, where its SDK is set up in the process."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from weft.concurrency import now
from weft.programs.history.journal import Event, Journal
from weft.programs.history.outcome import Outcome
from weft.programs.runs.genai_spans import Attributes, agent_span, call_span, tool_span

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer


@contextmanager
def traced(journal: Journal, name: str) -> Generator[None]:
    """Have a run, its programs, nodes, tools and calls be spans for the time of a block.

    The run's span is beneath the one that is current, and is current itself within the block. No
    span is made unless the process has set a provider of spans, as the SDK does.

    Args:
        journal: of the run.
        name: of its program.
    """
    from opentelemetry import trace

    # No version of weft: `weft/__init__.py` is above this.
    tracer = trace.get_tracer("weft")
    root = tracer.start_span(f"invoke_agent {name}")
    if not root.is_recording():
        yield
        return
    spans = _RunSpans(journal, name, tracer, root)
    journal.listen(spans.hear)
    try:
        with trace.use_span(root, record_exception=False, set_status_on_exception=False):
            yield
    except BaseException as error:
        spans.end_run("failed" if isinstance(error, Exception) else "cancelled", error)
        raise
    else:
        spans.end_run("done", None)
    finally:
        root.end()


class _RunSpans:
    """The spans of one run."""

    def __init__(self, journal: Journal, name: str, tracer: Tracer, root: Span) -> None:
        self._journal, self._name, self._tracer, self._root = journal, name, tracer, root
        self._spans: dict[str, Span] = {}
        self._begun: dict[str, Event] = {}
        self._sent: dict[str, list[Event]] = {}
        # Events count from the run's beginning, on a clock of their own.
        self._zero = time.time_ns() - int((now() - journal.started) * 1e9)
        self._over = False

    def hear(self, event: Event) -> None:
        """Something happened in the run."""
        if self._over:  # in a journal that goes on after the run
            return
        match event.kind:
            case "program" | "node" | "fan_out" | "call":
                self._begin(event)
            case "sent":
                self._sent.setdefault(event.id, []).append(event)
            case "budget":
                about = {f"weft.budget.{name}": value for name, value in event.data.items()}
                self._root.add_event("budget", about, self._at(event))
            case _:
                self._end(event)

    def _at(self, event: Event) -> int:
        return self._zero + int(event.at * 1e9)

    def _begin(self, event: Event) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        data, first = event.data, not self._begun
        self._begun[event.id] = event
        name = str(data.get("name") or event.kind)
        if event.kind == "program" and first and name == self._name:
            self._spans[event.id] = self._root  # the run is this program's
            return
        kind, attributes = SpanKind.INTERNAL, Attributes()
        if event.kind == "call":
            name, kind = f"chat {data['model']}", SpanKind.CLIENT
        elif event.kind == "program":
            attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
            name = f"invoke_agent {name}"
        elif "tool_call" in data:
            name, attributes = tool_span(name, data["tool_call"])
        elif event.kind == "fan_out":
            name = f"fan_out {name}" if data.get("name") else name
            attributes = {"weft.fan_out.width": data.get("width") or 0}
        above = self._spans.get(event.parent or "", self._root)
        self._spans[event.id] = self._tracer.start_span(
            name, set_span_in_context(above), kind, attributes, start_time=self._at(event)
        )

    def _end(self, event: Event) -> None:
        span, begun = self._spans.pop(event.id, None), self._begun.get(event.id)
        if span is None or begun is None or span is self._root:
            return
        if isinstance(outcome := event.data.get("outcome"), Outcome):
            span.set_attributes(self._call(event, begun, outcome))
        else:
            span.set_attribute("weft.outcome", event.kind)
        _mark(span, event.kind, _error(event.data))
        span.end(self._at(event))

    def _call(self, event: Event, begun: Event, outcome: Outcome) -> Attributes:
        used, timing = outcome.usage, outcome.timing
        sent = self._sent.pop(event.id, [])
        _, attributes = call_span(
            "chat",
            begun.data["model"],
            self._journal.name,
            event.id,
            {"failed": "broken"}.get(event.kind, event.kind),
            prompt=used.prompt,
            generated=used.generated,
            cached=used.cached,
            attempts=len(sent),
            waited=timing.queued,
            first=timing.queued + timing.first_token if outcome.text else None,
            engine=outcome.engine,
            reason=sent[-1].data["reason"] if sent else "",
        )
        attributes["weft.call.stored"] = bool(event.data.get("stored"))
        attributes["gen_ai.response.finish_reason"] = outcome.finish_reason
        if outcome.ended_by == "timeout":
            attributes["weft.call.timeout"] = outcome.limit
        elif outcome.ended_by:
            attributes["weft.call.budget"] = outcome.ended_by
        return attributes

    def end_run(self, became: str, error: BaseException | None) -> None:
        """The run has come to its end."""
        self._over = True
        used = self._journal.usage
        _, attributes = agent_span(
            self._name,
            self._journal.name,
            prompt=used.prompt,
            generated=used.generated,
            cached=used.cached,
        )
        attributes |= {"weft.program.calls": used.calls, "weft.program.end": became}
        self._root.set_attributes(attributes)
        _mark(self._root, became, type(error).__name__ if error is not None else "")
        for span in self._spans.values():
            if span is not self._root:  # of what was cancelled before it could say so
                span.end()


def _mark(span: Span, became: str, error: str) -> None:
    """Say what went wrong; that something was cancelled is no error."""
    from opentelemetry.trace import Status, StatusCode

    if became == "failed":
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute("error.type", error or "failed")
    elif became == "cancelled":
        span.set_attribute("error.type", "cancelled")


def _error(data: dict[str, Any]) -> str:
    """The class of an error: what it says is in no span."""
    return str(data.get("type") or str(data.get("error", "")).partition("(")[0])
