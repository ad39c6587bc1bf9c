"""Metrics in Prometheus' form: sums of what happened, and what is there when they are read."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

import anyio
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from weft.backends.engine import EngineLoad
from weft.orchestrator.scheduler import Scheduler
from weft.service.programs.records import CallRecord, ProgramRecord
from weft.service.watch.histogram import Histogram
from weft.service.watch.overview import Programs

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_LONG = (1.0, 5.0, 15.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0)
_LAGS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_LAG_EVERY = 0.25  # seconds
_MOST_REASONS = 16  # for which programs end, as labels
_OTHER = "other"


class _Tokens:
    """Tokens of calls that were sent to an engine."""

    __slots__ = ("cached", "generated", "prompt")

    def __init__(self) -> None:
        self.prompt = self.cached = self.generated = 0


class _Model:
    """What is kept by model."""

    __slots__ = ("duration", "first", "missed", "retries", "wait", "waited")

    def __init__(self) -> None:
        self.retries = 0
        self.waited: dict[str, float] = {}  # seconds, by cause
        self.missed: dict[str, int] = {}  # tokens, by cause
        self.wait, self.first = Histogram(_SECONDS), Histogram(_SECONDS)
        self.duration = Histogram(_SECONDS)


_Counts = dict[tuple[int, str], int]
"""Calls by the class of their status and their outcome."""

_Series = tuple[_Counts, _Tokens, _Model]


class Metrics:
    """An `Observer` that counts; it reads the rest when it is asked to `render`.

    Labels have as many values as there are endpoints, configured tenants, engines and models;
    a model that is not served is called `other`.

    Args:
        registry: has the live programs.
        scheduler: has the engines and its own counters.
        loads: what engines last said of themselves, by name; looked at anew each time.
        models: gives the names of all models that may be asked for, strategies included.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(
        self,
        registry: Programs,
        scheduler: Scheduler,
        loads: Mapping[str, EngineLoad],
        models: Callable[[], Container[str]],
    ) -> None:
        self._programs, self._scheduler, self._loads = registry, scheduler, loads
        self._known = models
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._calls: dict[tuple[str, str], _Counts] = {}
        self._tokens: dict[tuple[str, str], _Tokens] = {}
        self._models: dict[str, _Model] = {}
        self._completion = Histogram(_LONG)
        self._ended: dict[str, int] = {}
        self._lag = Histogram(_LAGS)
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)

    async def watch(self) -> None:
        """Measure how late the event loop wakes who sleeps; until cancelled."""
        while True:
            due = anyio.current_time() + _LAG_EVERY
            await anyio.sleep_until(due)
            self._lag.add(max(0.0, anyio.current_time() - due))

    # Observer

    def call_ended(self, call: CallRecord) -> None:
        """Count a call; not a part, for its whole has its tokens."""
        if call.within:
            return
        key = (call.path, call.model, call.program.tenant)
        series = self._series.get(key) or self._new(*key)
        calls, tokens, model = series
        how = (call.status // 100 if 100 <= call.status < 600 else 0, call.outcome)
        calls[how] = calls.get(how, 0) + 1
        came, sent, ended = call.came, call.sent, call.ended
        model.wait.add((sent or ended) - came)
        if cause := call.wait_cause:
            model.waited[cause] = model.waited.get(cause, 0.0) + (sent or ended) - came
        for miss in call.missed:
            model.missed[miss.cause] = model.missed.get(miss.cause, 0) + miss.tokens
        model.duration.add(ended - came)
        if sent:
            tokens.prompt += call.prompt
            tokens.cached += call.cached
            tokens.generated += call.generated
            if call.first:
                model.first.add(call.first - came)
            if call.attempts > 1:
                model.retries += call.attempts - 1

    def _new(self, path: str, model: str, tenant: str) -> _Series:
        """The sums of calls that are not known yet; unknown models come here each time."""
        known = model in self._known()
        label = model if known else _OTHER
        series = (
            self._calls.setdefault((path, label), {}),
            self._tokens.setdefault((label, tenant), _Tokens()),
            self._models.setdefault(label, _Model()),
        )
        if known:
            self._series[path, model, tenant] = series
        return series

    def program_ended(self, program: ProgramRecord, reason: str) -> None:
        """Count a program."""
        self._completion.add(max(0.0, program.seen - program.began))
        if reason not in self._ended and len(self._ended) >= _MOST_REASONS:
            reason = _OTHER
        self._ended[reason] = self._ended.get(reason, 0) + 1

    # Collector

    def collect(self) -> Iterator[Metric]:
        """All metrics as they are now."""
        yield from self._collect_calls()
        yield from self._collect_programs()
        yield from self._collect_engines()
        yield from self._collect_scheduler()
        lag = HistogramMetricFamily(
            "weft_event_loop_lag_seconds",
            "How late the event loop wakes who sleeps.",
            labels=[],
        )
        lag.add_metric([], self._lag.buckets(), self._lag.sum)
        yield lag

    def _collect_calls(self) -> Iterator[Metric]:
        yield _counter(
            "weft_calls",
            "Calls that have ended, by the class of the status that the client got, and how.",
            ("path", "model", "status", "outcome"),
            (
                ((path, model, f"{status}xx" if status else "none", outcome), count)
                for (path, model), counts in self._calls.items()
                for (status, outcome), count in counts.items()
            ),
        )
        models = self._models.items()
        yield _counter(
            "weft_call_retries",
            "Times that a call was sent to another engine after one had failed it.",
            ("model",),
            (((name,), model.retries) for name, model in models),
        )
        for name, text, attribute in (
            (
                "waited_seconds",
                "Seconds of waits, by the cause of most of a call's wait.",
                "waited",
            ),
            ("missed_tokens", "Tokens of prompts that no cache had, by cause.", "missed"),
        ):
            yield _counter(
                f"weft_{name}",
                text,
                ("model", "cause"),
                (
                    ((label, cause), value)
                    for label, model in models
                    for cause, value in getattr(model, attribute).items()
                ),
            )
        for name, text, attribute in (
            ("prompt_tokens", "Tokens of prompts.", "prompt"),
            ("cached_tokens", "Tokens of prompts that engines had cached.", "cached"),
            ("generated_tokens", "Tokens of answers.", "generated"),
        ):
            yield _counter(
                f"weft_{name}",
                text,
                ("model", "tenant"),
                ((labels, getattr(kept, attribute)) for labels, kept in self._tokens.items()),
            )
        for name, text, attribute in (
            ("wait", "From a call's arrival till it was sent to an engine.", "wait"),
            ("first_byte", "From a call's arrival to its answer's first byte.", "first"),
            ("duration", "From a call's arrival to its end.", "duration"),
        ):
            family = HistogramMetricFamily(f"weft_call_{name}_seconds", text, labels=["model"])
            for label, model in models:
                kept: Histogram = getattr(model, attribute)
                family.add_metric([label], kept.buckets(), kept.sum)
            yield family

    def _collect_programs(self) -> Iterator[Metric]:
        yield _gauge("weft_programs_live", "Live programs.", len(self._programs.programs))
        yield _counter(
            "weft_programs_ended",
            "Programs that have ended, by what ended them.",
            ("reason",),
            (((reason,), count) for reason, count in self._ended.items()),
        )
        family = HistogramMetricFamily(
            "weft_program_duration_seconds",
            "From a program's first call to when it was last heard of.",
            labels=[],
        )
        family.add_metric([], self._completion.buckets(), self._completion.sum)
        yield family

    def _collect_engines(self) -> Iterator[Metric]:
        replicas = self._scheduler.replicas
        known = [replica for replica in replicas if replica.engine.kv_tokens is not None]
        for name, text, values in (
            ("up", "Whether it is in service.", [(r, float(r.alive)) for r in replicas]),
            (
                "draining",
                "Whether it gets no new programs.",
                [(r, float(r.draining)) for r in replicas],
            ),
            ("calls_in_flight", "Calls it runs.", [(r, r.in_flight) for r in replicas]),
            ("calls_queued", "Calls that wait for it only.", [(r, r.queued) for r in replicas]),
            ("programs", "Programs with room on it.", [(r, r.programs) for r in replicas]),
            ("kv_tokens", "Tokens that its KV cache holds.", [(r, r.capacity) for r in known]),
            ("kv_reserved_tokens", "Tokens of running calls.", [(r, r.reserved) for r in known]),
            (
                "kv_claimed_tokens",
                "Tokens of running calls and of programs between calls.",
                [(r, r.claimed) for r in known],
            ),
            (
                "kv_cached_tokens",
                "Tokens of known prefixes in its cache, as weft reckons.",
                [(r, r.index.cached * r.block_size) for r in known],
            ),
            (
                "kv_usage_ratio",
                "Share of its KV cache in use, as it says.",
                [(r, self._loads[r.name].kv_usage) for r in replicas if r.name in self._loads],
            ),
        ):
            family = GaugeMetricFamily(f"weft_engine_{name}", text, labels=["engine"])
            for replica, value in values:
                family.add_metric([replica.name], value)
            yield family

    def _collect_scheduler(self) -> Iterator[Metric]:
        scheduler, counters = self._scheduler, self._scheduler.counters
        yield _gauge("weft_calls_waiting", "Calls that wait for an engine.", scheduler.waiting)
        yield _gauge("weft_calls_in_flight", "Calls that engines run.", scheduler.in_flight)
        for name, text, value in (
            ("decisions", "Decisions of the policy.", counters.decisions),
            ("started", "Calls sent to an engine.", counters.started),
            ("forced", "Calls sent because they were overdue.", counters.forced),
            ("revoked", "Claims taken from programs to make room.", counters.revoked),
        ):
            yield _counter(f"weft_scheduler_{name}", text, (), [((), value)])
        yield _counter(
            "weft_scheduler_unanswered",
            "Decisions that the policy failed to make, and that were made the plain way.",
            ("decision",),
            (((name,), count) for name, count in counters.unanswered.items()),
        )
        yield _gauge(
            "weft_scheduler_longest_wait_seconds",
            "The longest that a call has waited since the service began.",
            counters.longest_wait,
        )


def _counter(
    name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for label, value in values:
        family.add_metric(label, value)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
