"""What policies are composed of: choices of an engine, room beside claims, work to come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.orchestrator.policy import Admission
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View


def allowed(call: CallView, view: View) -> Sequence[EngineView]:
    """Engines that may get the call, whether or not they have room.

    An engine that drains is left out, unless the program is resident there or all drain.
    """
    engines, program = view.engines, call.program
    for engine in engines:
        if engine.draining:
            return [e for e in engines if not e.draining or resides(program, e)] or engines
    return engines


def best(call: CallView, view: View, key: Callable[[EngineView], Any]) -> EngineView:
    """The allowed engine with the smallest key that has room for the call, or of all if none has.

    Asking for room is the dear part, so only as many engines are asked as must be.
    """
    engines = sorted(allowed(call, view), key=key)
    return next((e for e in engines if e.has_room(call)), engines[0])


def home_of(call: CallView, view: View) -> EngineView | None:
    """The engine that the program ran on last, if it may still run there.

    One that has not run yet is at home where the program is that it works for. An engine that
    drains is no home to programs that have nothing running and no claim there.
    """
    program = call.program
    while program.home is None:
        if program.parent is None:
            return None
        program = program.parent
    name = program.home.name
    for engine in view.engines:
        if engine.name == name:
            return None if engine.draining and not program.resident else engine
    return None


def lives(program: Program, engine: EngineView) -> bool:
    """Whether the engine is the program's home."""
    home = program.home
    return home is not None and home.name == engine.name


def resides(program: Program, engine: EngineView) -> bool:
    """Whether the program, or one that it works for, runs on the engine or holds a claim there.

    So a program is never kept out by the claim of one that waits for it.
    """
    at: Program | None = program
    while at is not None:
        if at.resident and lives(at, engine):
            return True
        at = at.parent
    return False


def load(engine: EngineView) -> int:
    """Calls that run on an engine, or wait for it and no other."""
    return engine.in_flight + engine.queued


def demand(engine: EngineView) -> float:
    """`load` as a share of the calls that the engine can run at once; may exceed 1."""
    return load(engine) / engine.concurrency


def busy(engine: EngineView) -> float:
    """The share of an engine that running calls take: of its slots or of its KV, 0..1."""
    return max(engine.in_flight / engine.concurrency, engine.reserved / engine.capacity)


def missing(call: CallView, engine: EngineView) -> int:
    """Tokens of KV that the call lacks on an engine beside running calls and others' claims.

    It fits if they are 0 or less.
    """
    program = call.program
    own = program.claim if lives(program, engine) else 0
    return engine.claimed - own + engine.need(call) - engine.capacity


def beside_claims(call: CallView, engine: EngineView) -> Admission:
    """Admission under which claims count: the common part of policies that retain.

    A program that is resident on the engine enters; if claims are in its way, the weakest
    yield. Another enters if it fits beside running calls and claims, or if nothing runs there,
    for which again the weakest yield: so claims alone never stop an engine.
    """
    resident = resides(call.program, engine)
    lacks = missing(call, engine)
    if lacks <= 0:
        return Admission(True, "its program is resident" if resident else "it fits beside claims")
    why = f"it lacks {lacks} tokens beside running calls and claims"
    if not resident and engine.in_flight:
        return Admission(False, why)
    weakest = engine.weakest
    if weakest is None:
        return Admission(True, f"{why}, but no claim is left to revoke")
    return Admission(False, f"{why}; {weakest.id} yields {weakest.claim}", weakest)


def seconds(call: CallView, engine: EngineView) -> float:
    """How long the call would take on an engine beside what runs there; 0 if not known yet."""
    prefill = engine.prefill_seconds(call.prompt_tokens - engine.cached(call))
    return prefill + call.answer_tokens * engine.decode_seconds(engine.in_flight + 1)


def calls_left(program: Program, view: View) -> tuple[float, str]:
    """How many calls a program will still make, at least one, and where that is known from."""
    announced = program.expected_calls
    if announced is not None and announced > program.calls:
        return float(announced - program.calls), "announced"
    further = view.profiles.further_calls(program.name, program.calls)
    return max(1.0, further.value), further.source


def critical_path(call: CallView, view: View) -> float:
    """Seconds that the call's program still takes along its longest chain, as far as is known.

    By what its runs showed, or else the call alone where it is quickest; 0 if not even that is
    known.
    """
    own = min(seconds(call, engine) for engine in view.engines)
    learned = view.profiles.remaining(call.program).seconds
    return own if learned is None else max(own, learned)


def results_needed(call: CallView) -> int:
    """Results until the call's fan-out is left, of which a part is enough; 0 outside of such.

    With the last of them its other branches are cancelled, and all their room is free.
    """
    group = call.group
    if group is None or group.quorum >= group.width:
        return 0
    return max(1, group.quorum - group.ended)
