"""Registry: the programs that the service knows, as people see them."""

from __future__ import annotations

import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence

from weft.orchestrator.causes.cause import Miss
from weft.service.programs.records import CallRecord, Observer, ProgramRecord

ENDED = 500
"""Ended programs that can still be asked for."""

LIVE = 20_000
"""Live programs beyond which those are let go that have been idle for longest."""


class Registry:
    """Records of live programs and of those that ended last.

    It follows the scheduler: a program ends here when it ends there.

    Args:
        clock: Unix seconds.

    Attributes:
        programs: live ones by id.
        ended: the last that ended, oldest first.
        observers: told of every call and program that ends.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.programs: dict[str, ProgramRecord] = {}
        self.ended: deque[ProgramRecord] = deque()
        self.observers: list[Observer] = []
        self.clock = clock
        self._numbers = itertools.count(1)
        self._mark = secrets.token_hex(4)  # so that ids differ from those of another start

    def new_id(self) -> str:
        """An id for a call."""
        return f"{self._mark}-{next(self._numbers)}"

    def begin(
        self, id: str, tenant: str, name: str, source: str, parent: str = ""
    ) -> ProgramRecord:
        """The record of a program, which begins if it is not known."""
        known = self.programs.get(id)
        if known is None:
            now = self.clock()
            known = self.programs[id] = ProgramRecord(id, tenant, name, source, parent, now, now)
        return known

    def keep(self, record: ProgramRecord) -> None:
        """Take in a record from before a restart."""
        self.programs.setdefault(record.id, record)

    def call(self, program: ProgramRecord, path: str, model: str) -> CallRecord:
        """A call has come."""
        now = program.seen = self.clock()
        if self.programs.pop(program.id, None) is not None:
            self.programs[program.id] = program  # the last to be let go
        call = CallRecord(self.new_id(), program, path, model, now)
        program.calls.append(call)
        program.live[call.id] = call
        return call

    def lone(self, tenant: str, name: str, path: str, model: str) -> CallRecord:
        """A call has come that is no part of any program's course, and leaves no record in one."""
        now = self.clock()
        call = CallRecord(
            self.new_id(), ProgramRecord("", tenant, name, "", "", now, now), path, model, now
        )
        call.program.live[call.id] = call
        return call

    def part(self, whole: CallRecord, id: str, model: str) -> CallRecord:
        """A call has come that a request of a client is made of."""
        program = whole.program
        call = CallRecord(id, program, whole.path, model, self.clock(), within=whole.id)
        program.calls.append(call)
        program.live[id] = call
        return call

    def call_ended(self, call: CallRecord) -> None:
        """A call is over; its fields say how."""
        program = call.program
        call.ended = program.seen = self.clock()
        if program.live.pop(call.id, None) is None:
            return
        program.waited += (call.sent or call.ended) - call.came
        if call.within:  # what it took is counted with the whole
            program.parts += 1
        else:
            program.count += 1
            program.prompt += call.prompt
            program.cached += call.cached
            program.generated += call.generated
            program.errors += call.outcome not in ("done", "cancelled")
        for observer in self.observers:
            observer.call_ended(call)

    def note_misses(self, program: str, call: str, misses: Sequence[Miss]) -> None:
        """Keep in a call's record why some of its prompt was not cached."""
        known = self.programs.get(program)
        if known is not None and (record := known.live.get(call)) is not None:
            record.missed = (*record.missed, *misses)

    def program_ended(self, id: str, reason: str) -> None:
        """A program is over."""
        program = self.programs.pop(id, None)
        if program is None:
            return
        program.over = reason
        self.ended.append(program)
        if len(self.ended) > ENDED:
            # Its calls know it: together they would lie about until all memory is looked through.
            self.ended.popleft().calls.clear()
        for observer in self.observers:
            observer.program_ended(program, reason)

    def idlest(self) -> str | None:
        """The program that is to be let go, if there are too many."""
        if len(self.programs) <= LIVE:
            return None
        return next((id for id, program in self.programs.items() if not program.live), None)

    def call_of(self, id: str) -> CallRecord | None:
        """The record of a call by its id, if its program is known."""
        known = itertools.chain(self.programs.values(), self.ended)
        return next((c for p in known for c in p.calls if c.id == id), None)

    def run_of(self, id: str) -> ProgramRecord | None:
        """The record, live or not, of a strategy's run that the program of this id asked for."""
        known = itertools.chain(self.programs.values(), self.ended)
        return next((p for p in known if p.is_run_of(id)), None)

    def get(self, id: str) -> ProgramRecord | None:
        """A program's record, live or not."""
        found = self.programs.get(id)
        if found is None:
            found = next((p for p in reversed(self.ended) if p.id == id), None)
        return found
