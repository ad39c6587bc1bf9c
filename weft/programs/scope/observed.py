"""Observed: what a program does, beside what it has declared."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.program import Program
from weft.orchestrator.programs.trail import Trail
from weft.programs.scope.declaration import Declaration

_log = logging.getLogger(__name__)
_told: set[tuple[str, str]] = set()
_MANY = 10_000  # differences that are remembered as told


class Observed:
    """A run of a program that has declared something.

    Args:
        declaration: what it has declared.
        program: as the scheduler knows it.

    Attributes:
        tokens: that engines computed for it by now, stored results included.
    """

    def __init__(self, declaration: Declaration, program: Program) -> None:
        self._declaration, self._program = declaration, program
        self._trail = Trail()
        self.tokens = 0

    def call(self, stage: str, group: CallGroup | None) -> None:
        """It makes a call, or has the result from the Store."""
        self._trail.call(self._program, stage, group, 0.0)

    def end(self) -> list[str]:
        """It has come to its end: how it differed from what it declared, a sentence for each.

        Each kind of difference is logged once for each program.
        """
        found = dict(self._differences())
        name = self._program.name
        for kind, sentence in found.items():
            if (name, kind) not in _told and len(_told) < _MANY:
                _told.add((name, kind))
                _log.warning("%s", sentence)
        return list(found.values())

    def _differences(self) -> Iterator[tuple[str, str]]:
        says, steps, name = self._declaration, self._trail.steps, self._program.name
        calls = sum(step.calls for step in steps)
        for what, made, expected in (
            ("calls", calls, says.calls),
            ("tokens", self.tokens, says.tokens),
        ):
            if expected is not None and (made > expected or 2 * made < expected):
                verb = "made" if what == "calls" else "took"
                yield what, f"{name} {verb} {made} {what}, and declares {what}={expected}"
        if not says.follow:
            return
        before = ""
        for step in steps:
            stage = step.stage
            if stage not in says.follow:
                yield stage, f"{name} calls in {stage}, which is none of its declared stages"
                continue
            first = next(iter(says.follow))
            # Calls of a stage one after the other may be one visit or several.
            nexts = says.follow[before] if before else (first,)
            if before != stage and stage not in nexts and not says.begins:
                begins = f"after {before}" if before else "at its beginning"
                yield f"{before}>{stage}", f"{name} comes to {stage} {begins}, as not declared"
            before = stage
            own = says.known.get(stage)
            if own is None:
                continue
            if own.width is not None and step.width != own.width:
                sentence = (
                    f"{stage} of {name} ran {step.width} wide, and declares width={own.width}"
                )
                yield f"{stage} width", sentence
            if own.calls is not None and step.calls > own.calls * step.width:
                each = f"{step.calls / step.width:g}"
                yield (
                    f"{stage} calls",
                    f"{stage} of {name} made {each} calls, and declares calls={own.calls}",
                )
        if before and not says.begins and "" not in says.follow[before]:
            yield f"{before}>", f"{name} ended after {before}, as not declared"
