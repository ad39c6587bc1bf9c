"""Steps of an engine in time."""

from __future__ import annotations

from weft.backends.simulated.step_time import Hardware, Step

_INSTANT = 1e-9  # seconds; the rounding of clocks is below that


class Stretch:
    """A step that computes prompts, or any number of steps that only decode.

    Args:
        step: the first of them.
        start: when it began.
        hardware: tells how long they take.

    Attributes:
        steps: how many there are.
        end: when the last one is done.
    """

    __slots__ = ("_hardware", "_step", "end", "start", "steps")

    def __init__(self, step: Step, start: float, hardware: Hardware) -> None:
        self._step = step
        self._hardware = hardware
        self.start = start
        self.steps = step.repeats
        self.end = start + self._seconds(step.repeats)

    def steps_done(self, now: float) -> int:
        """How many steps are done by now."""
        if now >= self.end - _INSTANT:
            return self.steps
        if self._step.prefill:
            return 0
        steps = self._until(now)
        return steps - (self.start + self._seconds(steps) > now + _INSTANT)

    def cut(self, now: float) -> bool:
        """End it with the step that runs now; whether that is before its end."""
        if self._step.prefill or (steps := self._until(now)) == self.steps:
            return False
        self.steps = steps
        self.end = self.start + self._seconds(steps)
        return True

    def _until(self, now: float) -> int:
        """The fewest steps that last until now, if they all together do."""
        before, enough = -1, self.steps
        past = now - self.start - _INSTANT
        while enough - before > 1:
            middle = (before + enough) // 2
            if self._seconds(middle) >= past:
                enough = middle
            else:
                before = middle
        return enough

    def _seconds(self, steps: int) -> float:
        """What so many of the steps take."""
        step = self._step
        if step.prefill:
            return self._hardware.step_seconds(
                step.prefill, step.attended, step.decodes, step.context, step.prompts
            )
        return self._hardware.decode_seconds(step.decodes, step.context, steps)
