from __future__ import annotations

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from call_records import T, call
from weft.errors import ConfigError
from weft.service.programs.records import ProgramRecord
from weft.service.watch.tracing import Tracing

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Takes spans over loopback; answers only when it is `open`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: list[Any] = []
        self.paths: list[str] = []
        self.resource: dict[str, str] = {}
        self.open = threading.Event()
        self.open.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.paths.append(self.path)
        self.server.open.wait()
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.resource |= plain(group.resource.attributes)
            for scope in group.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def plain(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


@pytest.fixture
def collector() -> Generator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.open.set()
        server.shutdown()
        thread.join()


def program(id: str = "a/p", parent: str = "", began: float = T) -> ProgramRecord:
    return ProgramRecord(
        id, "a", "claude-code", "session-id", parent, began, T + 40, count=2, prompt=300
    )


async def test_a_program_and_its_calls(collector: Collector) -> None:
    boss, worker = program("a/boss"), program("a/worker", "a/boss", T + 1)
    tracing = Tracing(collector.url, {"a/boss": boss}, version="1.2")
    tracing.call_ended(call(worker, trace=f"00-{TRACE}-{SPAN}-01", wait_reason="gpu0 is full"))
    tracing.call_ended(
        call(worker, status=502, outcome="broken", first=0.0, error="SECRET words", trace="00-junk")
    )
    tracing.program_ended(worker, "released")
    tracing.program_ended(boss, "expired")
    await tracing.aclose()
    assert set(collector.paths) == {"/v1/traces"}
    assert collector.resource["service.name"] == "weft"
    assert collector.resource["service.version"] == "1.2"
    good, bad, of_worker, of_boss = collector.spans
    for span in (good, bad):
        assert span.trace_id == of_worker.trace_id
        assert span.parent_span_id == of_worker.span_id
    assert good.span_id != bad.span_id
    assert of_worker.parent_span_id == b""
    assert of_boss.trace_id != of_worker.trace_id
    assert good.name == "chat m"
    assert (good.start_time_unix_nano, good.end_time_unix_nano) == (
        int(T * 1e9),
        int(T + 3) * 10**9,
    )
    attributes = plain(good.attributes)
    assert attributes["gen_ai.request.model"] == "m"
    assert attributes["gen_ai.usage.input_tokens"] == 100
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 60
    assert attributes["gen_ai.usage.output_tokens"] == 7
    assert attributes["gen_ai.conversation.id"] == "a/worker"
    assert attributes["weft.call.wait"] == 0.25
    assert attributes["weft.wait.reason"] == "gpu0 is full"
    assert attributes["weft.placement.reason"] == "its home"
    assert attributes["gen_ai.response.time_to_first_chunk"] == 0.5
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in good.links] == [(TRACE, SPAN)]
    assert not bad.links
    assert bad.status.code == 2
    assert plain(bad.attributes)["error.type"] == "502"
    assert "SECRET" not in str(collector.spans)
    attributes = plain(of_worker.attributes)
    assert attributes["gen_ai.agent.name"] == "claude-code"
    assert attributes["weft.program.parent"] == "a/boss"
    assert attributes["weft.program.end"] == "released"
    assert [link.span_id for link in of_worker.links] == [of_boss.span_id]


@pytest.mark.parametrize(
    "traceparent",
    [
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        "x" * 5000,
    ],
)
async def test_what_is_no_traceparent_is_let_be(collector: Collector, traceparent: str) -> None:
    tracing = Tracing(collector.url, {})
    tracing.call_ended(call(program(), trace=traceparent))
    await tracing.aclose()
    assert not collector.spans[0].links


async def test_a_share_of_programs_is_traced_whole(collector: Collector) -> None:
    tracing = Tracing(collector.url + "/custom", {}, sample=0.5)
    for i in range(200):
        tracing.call_ended(call(program(f"p{i}")))
        tracing.program_ended(program(f"p{i}"), "released")
    await tracing.aclose()
    assert set(collector.paths) == {"/custom"}
    roots = {s.span_id for s in collector.spans if not s.parent_span_id}
    assert {s.parent_span_id for s in collector.spans if s.parent_span_id} == roots
    assert 60 < len(roots) < 140


async def test_a_collector_that_does_not_answer_holds_nothing_up(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.open.clear()
    tracing = Tracing(collector.url, {})
    for _ in range(12_000):  # more than are kept
        tracing.call_ended(call(program()))
    await tracing.aclose(timeout=0.3)
    assert not collector.spans  # none of this has waited for it


async def test_no_collector_at_all(caplog: pytest.LogCaptureFixture) -> None:
    tracing = Tracing("http://127.0.0.1:9", {})
    tracing.call_ended(call(program()))
    await tracing.aclose(timeout=0.3)


@pytest.mark.parametrize("endpoint", ["collector:4318", "", "file:///tmp/x", "http://"])
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="is not a URL"):
        Tracing(endpoint, {})


def test_a_share_that_is_none() -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        Tracing("http://127.0.0.1:1", {}, sample=2)
