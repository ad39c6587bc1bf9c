"""Traces in OpenTelemetry's form: one span a program, and beneath it one a call."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import anyio.to_thread
import xxhash
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from weft.errors import ConfigError
from weft.programs.runs.genai_spans import Attributes, agent_span, call_span
from weft.service.programs.records import CallRecord, ProgramRecord

_TIMEOUT = 5.0  # seconds for one export
_QUEUED = 8192  # spans; more are dropped rather than waited for
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_OPERATIONS = {"/v1/completions": "text_completion", "/v1/embeddings": "embeddings"}


class Tracing:
    """An `Observer` that sends spans to a collector by OTLP over HTTP, from a thread of its own.

    Spans are made when their calls and programs have ended. The ids of a program's span follow
    from its own id and the moment it began: its calls' spans name it before it is made, and
    after a restart too. A client's `traceparent` is linked to, and so is a program's parent.
    What prompts, answers and errors say is in no span.

    Args:
        endpoint: the collector's URL; `/v1/traces` is meant where it has no path. Headers for
            it come from the environment, `OTEL_EXPORTER_OTLP_HEADERS`.
        programs: the live programs by id; parents are looked up there.
        version: of the service.
        sample: share of programs that are traced, with all their calls.

    Raises:
        ConfigError: the endpoint is no URL, or the share is not within 0 to 1.
    """

    def __init__(
        self,
        endpoint: str,
        programs: Mapping[str, ProgramRecord],
        *,
        version: str = "",
        sample: float = 1.0,
    ) -> None:
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.netloc:
            raise ConfigError(
                f"the traces' endpoint {endpoint!r} is not a URL such as http://collector:4318"
            )
        if not 0 <= sample <= 1:
            raise ConfigError(f"the share of programs traced must be from 0 to 1, not {sample}")
        path = url.path if url.path.strip("/") else "/v1/traces"
        self._programs = programs
        self._bound = round(sample * 2**64)
        self._exporter = OTLPSpanExporter(url._replace(path=path).geturl(), timeout=_TIMEOUT)
        self._processor = BatchSpanProcessor(self._exporter, max_queue_size=_QUEUED)
        self._resource = Resource.create({"service.name": "weft", "service.version": version})
        self._scope = InstrumentationScope("weft", version)

    def call_ended(self, call: CallRecord) -> None:
        """Make a call's span; parts have none."""
        if call.within:
            return
        program = call.program
        parent = _context(program)
        if parent.trace_id & (2**64 - 1) >= self._bound:
            return
        operation = _OPERATIONS.get(call.path, "chat")
        name, attributes = call_span(
            operation,
            call.model,
            program.id,
            call.id,
            call.outcome,
            prompt=call.prompt,
            generated=call.generated,
            cached=call.cached,
            attempts=call.attempts,
            waited=(call.sent or call.ended) - call.came,
            first=call.first - call.came if call.first else None,
            engine=call.engine,
            reason=call.placement_reason,
        )
        attributes |= {
            "http.request.method": "POST",
            "http.response.status_code": call.status,
            "url.path": call.path,
        }
        if call.wait_reason:
            attributes["weft.wait.reason"] = call.wait_reason
        if program.tenant:
            attributes["weft.tenant"] = program.tenant
        status = Status()
        if call.outcome != "done":
            attributes["error.type"] = str(call.status) if call.status >= 400 else call.outcome
            if call.status >= 500 or call.status < 400:  # others are the client's own
                status = Status(StatusCode.ERROR)
        context = SpanContext(parent.trace_id, random.getrandbits(64) or 1, False, _SAMPLED)
        client = _client(call.trace) if call.trace else None
        self._end(
            name,
            context,
            parent,
            attributes,
            (call.came, call.ended),
            SpanKind.SERVER,
            [Link(client)] if client is not None else [],
            status,
        )

    def program_ended(self, program: ProgramRecord, reason: str) -> None:
        """Make a program's span."""
        context = _context(program)
        if context.trace_id & (2**64 - 1) >= self._bound:
            return
        name, attributes = agent_span(
            program.name,
            program.id,
            prompt=program.prompt,
            generated=program.generated,
            cached=program.cached,
        )
        attributes |= {
            "weft.program.source": program.source,
            "weft.program.calls": program.count,
            "weft.program.errors": program.errors,
            "weft.program.wait": program.waited,
            "weft.program.end": reason,
        }
        if program.tenant:
            attributes["weft.tenant"] = program.tenant
        links: list[Link] = []
        if program.parent:
            attributes["weft.program.parent"] = program.parent
            parent = self._programs.get(program.parent)
            if parent is not None:
                links.append(Link(_context(parent)))
        self._end(
            name,
            context,
            None,
            attributes,
            (program.began, max(program.began, program.seen)),
            SpanKind.INTERNAL,
            links,
            Status(),
        )

    def _end(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: Attributes,
        times: tuple[float, float],
        kind: SpanKind,
        links: list[Link],
        status: Status,
    ) -> None:
        # The tracer's own spans choose their ids themselves, and cost three times as much.
        span = ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            attributes,
            links=links,
            kind=kind,
            status=status,
            start_time=_nanoseconds(times[0]),
            end_time=_nanoseconds(times[1]),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)

    async def aclose(self, timeout: float = 5.0) -> None:
        """Send what is left, for so many seconds at most."""
        # A daemon: the processor's own waiting has no bound, and must not hold up our exit.
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(closing.join, timeout)
        if closing.is_alive():
            self._exporter.shutdown()


def _context(program: ProgramRecord) -> SpanContext:
    """The identity of a program's span."""
    seed = f"{program.id}\n{program.began!r}".encode()
    trace, span = xxhash.xxh3_128_intdigest(seed), xxhash.xxh3_64_intdigest(seed, seed=1)
    return SpanContext(trace or 1, span or 1, False, _SAMPLED)


def _client(traceparent: str) -> SpanContext | None:
    """The span that a W3C `traceparent` names; None if it is none."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None:
        return None
    trace, span, flags = (int(match[i], 16) for i in (1, 2, 3))
    context = SpanContext(trace, span, True, TraceFlags(flags & 1))
    return context if context.is_valid else None


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)
