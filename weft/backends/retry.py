"""Retry: for how long and how often a request is sent again to an engine that was busy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from weft.errors import UnknownName, UsageError

_UNTOLD = 5  # times that a request is sent to an engine that does not say when to come again


@dataclass(frozen=True, slots=True)
class Retry:
    """How a request is sent again that an engine was too busy for, or failed at.

    An engine that says when to come again is asked then. Else the waits begin at `first`, double
    each time, and are spread by chance. A request at which an engine failed is sent once more in
    all, elsewhere if it can be.

    Attributes:
        attempts: most times that one request is sent to the engine; None for five times, or for
            as many as `seconds` allow where the engine says when to come again.
        seconds: time after its first refusal during which a request may be sent again.
        longest: most seconds of one wait, whatever the engine says.
        first: seconds of the first wait, where the engine does not say.
    """

    attempts: int | None = None
    seconds: float = 300.0
    longest: float = 30.0
    first: float = 0.5

    def __post_init__(self) -> None:
        if self.attempts is not None and self.attempts < 1:
            raise UsageError(f"retry: attempts={self.attempts} must be at least 1")
        for name in ("seconds", "longest", "first"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"retry: {name}={value:g} must be a number of seconds, 0 or more")

    @classmethod
    def of(cls, value: Retry | Mapping[str, Any] | int | None) -> Retry:
        """What was given: a Retry, its fields, or its attempts alone.

        Raises:
            UsageError: a field is unknown or out of range.
        """
        if value is None:
            return cls()
        if isinstance(value, Retry):
            return value
        if not isinstance(cast(object, value), int | Mapping):
            raise UsageError(
                f"retry={value!r:.60} must be a number of attempts, or a Retry(attempts=3, first=1)"
            )
        given = {"attempts": value} if isinstance(value, int) else dict(value)
        known = [field.name for field in fields(cls)]
        for name, one in given.items():
            if name not in known:
                raise UnknownName("field of retry", name, known)
            if isinstance(one, bool) or not isinstance(one, int | float | None):
                raise UsageError(f"retry: {name}={one!r} must be a number")
        return cls(**given)


class Waits:
    """The waits of one request, by tenacity's rules. Made at a request's first refusal.

    Args:
        retry: of the engine that refused it.
        now: the time in seconds.
    """

    def __init__(self, retry: Retry, now: float) -> None:
        import tenacity  # off the way of calls that go well

        self._retry, self._began = retry, now
        wait = tenacity.wait_exponential(multiplier=retry.first, max=retry.longest)
        self._wait = wait + tenacity.wait_random(0, retry.first / 2)
        self._stop = tenacity.stop_after_attempt(retry.attempts or _UNTOLD)
        self._state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})

    def next(self, now: float, told: float | None) -> tuple[float, bool]:
        """Seconds until the engine may be asked again, and whether this request may be.

        Args:
            now: the time in seconds.
            told: the wait that the engine asked for, if it did.
        """
        retry, state = self._retry, self._state
        wait = told if told is not None else self._wait(state)
        wait = min(wait, retry.longest)
        bounded = told is None or retry.attempts is not None
        again = not (bounded and self._stop(state)) and now + wait - self._began <= retry.seconds
        state.attempt_number += 1
        return wait, again
