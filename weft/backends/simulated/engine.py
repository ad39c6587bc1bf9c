"""A simulated engine: what vLLM does with requests, in time that a model of hardware tells."""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from weft.backends.engine import Engine, EngineLoad, OnDelta
from weft.backends.simulated.batching import Batch, BatchCounters
from weft.backends.simulated.decoding import Stay
from weft.backends.simulated.request import SimulatedRequest, stay_of
from weft.backends.simulated.step_time import Hardware
from weft.backends.simulated.stretch import Stretch
from weft.backends.timeline import Alarm, Timeline
from weft.errors import EngineUnavailable, UsageError
from weft.types import Delta, Request

__all__ = ["RequestRecord", "SimulatedEngine", "SimulatedRequest"]

_MOMENT = 1e-6  # seconds in which an idle engine waits for who comes at the same time


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What became of a request.

    Attributes:
        id: of the request.
        arrived, entered, first_token, ended: by the clock; None for what didn't come to pass.
        prompt: its tokens.
        cached: those of them that were found in the cache.
        generated: tokens of the answer.
        outcome: `done`, `cancelled` or `lost`.
    """

    id: str
    arrived: float
    entered: float | None
    first_token: float | None
    ended: float
    prompt: int
    cached: int
    generated: int
    outcome: str


@dataclass(eq=False, slots=True)
class _Call:
    stay: Stay
    on_delta: OnDelta
    done: anyio.Event
    arrived: float
    entered: float | None = None
    first: float | None = None
    told: int = 0
    error: Exception | None = None


class SimulatedEngine(Engine):
    """Serves requests as vLLM does, see `Batch`, but computes nothing.

    It jumps from event to event: a step with prompts in it is one, and so is a stretch of
    steps that only decode, until the first answer ends, memory may run out, or a request comes
    or is cancelled. Those take effect when the step that runs is done, as in vLLM. The first
    piece of an answer is its first token; the second is all the rest.

    Besides `SimulatedRequest` it takes requests with token ids: their answers have
    `max_tokens` tokens, or 256, and are not found in the cache by others.

    Args:
        timeline: what drives it.
        hardware: how long steps take.
        name: unique in a pool.
        model: the name it serves.
        kv_tokens: tokens that its KV cache holds; the hardware's by default.
        block_size: tokens in a block.
        concurrency: most requests that run at once (vLLM's `max_num_seqs`).
        batched_tokens: most tokens of a step (vLLM's `max_num_batched_tokens`).
        keep_log: whether to keep `log`.
        leases: whether it keeps what requests ask for, as vLLM with `weft.leases` does.

    Attributes:
        counters: what has happened since it was made.
        log: what became of each request, in the order of their ends; empty if not kept.

    Raises:
        UsageError: a size is below what works.
    """

    takes_tokens = True
    real = False

    def __init__(
        self,
        timeline: Timeline,
        hardware: Hardware,
        *,
        name: str = "simulated",
        model: str = "simulated",
        kv_tokens: int | None = None,
        block_size: int = 16,
        concurrency: int = 256,
        batched_tokens: int = 8192,
        keep_log: bool = False,
        leases: bool = False,
    ) -> None:
        self.name = name
        self.model = model
        self.hardware = hardware
        self.kv_tokens = hardware.kv_tokens if kv_tokens is None else kv_tokens
        self.block_size = block_size
        self.concurrency = concurrency
        blocks = self.kv_tokens // max(block_size, 1)
        if min(block_size, concurrency, blocks) < 1:
            raise UsageError(
                f"engine {name}: block_size={block_size}, concurrency={concurrency} and the "
                f"blocks in kv_tokens={self.kv_tokens} must each be at least 1"
            )
        if batched_tokens < concurrency:
            raise UsageError(
                f"engine {name}: batched_tokens={batched_tokens} must be at least "
                f"concurrency={concurrency}, for each running request gets a token a step"
            )
        self.context = blocks * block_size
        self.log: list[RequestRecord] = []
        self._keep_log = keep_log
        self._timeline = timeline
        self.leases = leases
        clock = (lambda: timeline.now) if leases else None
        self._batch = Batch(blocks, block_size, concurrency, batched_tokens, clock)
        self._calls: dict[Stay, _Call] = {}
        self._gone: list[Stay] = []  # to be dropped when the step is done
        self._start = 0.0  # when an idle one was asked again
        self._stretch: Stretch | None = None
        self._alarm: Alarm | None = None
        self._dead = False

    @property
    def counters(self) -> BatchCounters:
        """What has happened since it was made."""
        return self._batch.counters

    @property
    def idle(self) -> bool:
        """Whether no request runs or waits there."""
        return not self._calls

    async def connect(self) -> None:
        """Nothing to reach."""
        self._alive()

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        """Serve a request in simulated time."""
        self._alive()
        stay = stay_of(request, self)
        call = _Call(stay, on_delta, anyio.Event(), self._timeline.now)
        self._calls[stay] = call
        self._batch.add(stay)
        if self._alarm is None:
            self._start = call.arrived
            self._alarm = self._timeline.at(call.arrived + _MOMENT, self._proceed)
        elif len(self._batch.waiting) == 1 and len(self._batch.running) < self.concurrency:
            self._interrupt()
        try:
            await call.done.wait()
        except BaseException:
            if stay in self._calls:
                self._lose(call, "cancelled")
                self._gone.append(stay)
                self._interrupt()
            raise
        if call.error is not None:
            raise call.error

    def kill(self) -> None:
        """Die: requests that run or come fail, and the cache is lost, until `revive`."""
        self._dead = True
        now = self._timeline.now
        if self._stretch is not None:
            if steps := self._stretch.steps_done(now):
                self._finish(steps, now)
            else:
                self.counters.busy += now - self._stretch.start
                self._stretch = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for call in list(self._calls.values()):
            call.error = EngineUnavailable(f"the engine {self.name} died; revive() it")
            self._lose(call, "lost")
            call.done.set()
        self._batch.clear()
        self._gone.clear()

    def revive(self) -> None:
        """Live again, with an empty cache."""
        self._dead = False

    async def load(self) -> EngineLoad:
        """What runs and waits, the share of blocks in use, and preemptions."""
        batch = self._batch
        used = batch.index.pinned / batch.index.capacity
        thrown_out = batch.counters.preemptions
        return EngineLoad(len(batch.running), len(batch.waiting), used, thrown_out)

    async def healthy(self) -> bool:
        """Whether it is not dead."""
        return not self._dead

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _alive(self) -> None:
        if self._dead:
            raise EngineUnavailable(f"the engine {self.name} died; revive() it")

    def _proceed(self) -> None:
        """A stretch is done, or an idle engine was asked: on to the next."""
        self._alarm = None
        at = self._start
        if self._stretch is not None:
            at = self._stretch.end  # the clock may be a little late
            self._finish(self._stretch.steps, at)
        for stay in self._gone:
            self._batch.drop(stay)
        self._gone.clear()
        if not self._dead:
            self._begin(at)

    def _finish(self, steps: int, now: float) -> None:
        stretch, self._stretch = self._stretch, None
        assert stretch is not None
        self.counters.busy += now - stretch.start
        begun, ended = self._batch.advance(steps)
        for stay in begun:
            self._first(stay, now)
        for stay in ended:
            self._last(stay, now)

    def _begin(self, at: float) -> None:
        step = self._batch.plan()
        if step is None:
            return
        for stay in self._batch.entered:
            if (call := self._calls.get(stay)) is not None and call.entered is None:
                call.entered = at
        self._stretch = Stretch(step, at, self.hardware)
        self._alarm = self._timeline.at(self._stretch.end, self._proceed)

    def _interrupt(self) -> None:
        """End a stretch with the step that runs now."""
        stretch = self._stretch
        if stretch is not None and stretch.cut(self._timeline.now):
            assert self._alarm is not None
            self._alarm.cancel()
            self._alarm = self._timeline.at(stretch.end, self._proceed)

    def _first(self, stay: Stay, now: float) -> None:
        call = self._calls.get(stay)
        if call is None:
            return
        call.first, call.told = now, 1
        if stay.answer > 1:
            self._tell(call, Delta(count=1))

    def _last(self, stay: Stay, now: float) -> None:
        call = self._calls.pop(stay, None)
        if call is None:
            return
        delta = Delta(
            count=stay.answer - (call.told if stay.answer > 1 else 0),
            finish_reason="length",
            prompt_tokens=stay.prompt,
            cached_tokens=stay.cached,
        )
        self._note(call, now, stay.answer, "done")
        self._tell(call, delta)
        call.done.set()

    def _tell(self, call: _Call, delta: Delta) -> None:
        try:
            call.on_delta(delta)
        except Exception as error:  # the caller's own; it is raised where the call is awaited
            call.error = error
            call.done.set()
            if self._calls.pop(call.stay, None) is not None:
                self._gone.append(call.stay)

    def _lose(self, call: _Call, outcome: str) -> None:
        """A call ends before its answer does: what was generated is still reported."""
        del self._calls[call.stay]
        now = self._timeline.now
        steps = 0 if self._stretch is None else self._stretch.steps_done(now)
        made = self._batch.tokens_after(call.stay, steps)
        self._note(call, now, made, outcome)
        if made > call.told:
            self._tell(call, Delta(count=made - call.told))

    def _note(self, call: _Call, now: float, generated: int, outcome: str) -> None:
        if self._keep_log:
            stay = call.stay
            self.log.append(
                RequestRecord(
                    stay.id,
                    call.arrived,
                    call.entered,
                    call.first,
                    now,
                    stay.prompt,
                    stay.cached or 0,
                    generated,
                    outcome,
                )
            )
