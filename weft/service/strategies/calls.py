"""The calls that a strategy makes, in the record of the program that its run is."""

from __future__ import annotations

from types import TracebackType

from weft.programs import Event
from weft.programs.history.journal import Journal
from weft.programs.history.outcome import Outcome
from weft.service.programs.records import LEFT, CallRecord
from weft.service.programs.registry import Registry


class StrategyCalls:
    """Keeps the records of a run's calls, by what its journal notes.

        with StrategyCalls(registry, request) as calls:
            await run(..., journal=calls.journal, live=calls.live)

    Args:
        registry: of programs.
        request: the client's, whose parts the calls are.

    Attributes:
        journal: for the run.
    """

    def __init__(self, registry: Registry, request: CallRecord) -> None:
        self.journal = Journal(self._note)
        self._registry, self._request = registry, request
        self._live: dict[str, CallRecord] = {}

    def __enter__(self) -> StrategyCalls:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for id in list(self._live):  # cancelled so early that the run did not note it
            self._end(id, LEFT)

    def live(self, id: str, text: str | None) -> None:
        """A call has more text; None if it starts over."""
        call = self._live.get(id)
        if call is not None and text and not call.first:
            call.first = self._registry.clock()

    def _note(self, event: Event) -> None:
        if event.kind == "call":
            name = f"{self.journal.name}-{event.id}"  # as engines get it
            self._live[event.id] = self._registry.part(self._request, name, event.data["model"])
        elif event.id not in self._live:
            return
        elif event.kind == "sent":
            call = self._live[event.id]
            call.engine, call.placement_reason = event.data["engine"], event.data["reason"]
            call.sent, call.first = self._registry.clock(), 0.0
            call.attempts += 1
        else:
            status = {"done": 200, "cancelled": LEFT}.get(event.kind, 502)
            self._end(event.id, status, event.data["outcome"])

    def _end(self, id: str, status: int, outcome: Outcome | None = None) -> None:
        call = self._live.pop(id)
        call.status = status
        call.outcome = "done" if status == 200 else "cancelled" if status == LEFT else "broken"
        if outcome is not None:
            used = outcome.usage
            call.prompt, call.cached = used.prompt, used.cached
            call.generated = used.completion + used.cancelled
            call.counted = True
            if status == 200 and not call.first:
                call.first = call.sent + outcome.timing.first_token
        self._registry.call_ended(call)
