"""What became of the programs and calls of a played workload."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PlayedCall:
    """One call. Times are seconds on the scheduler's clock.

    Attributes:
        id: unique in the play.
        job: whose call it is.
        stage: the part of the program that asked.
        prompt: tokens of the prompt.
        came: when the program asked.
        sent: when it was bound to an engine for the last time.
        first: when the first token came.
        ended: when it ended.
        engine: where it ran; empty if it never did.
        cached: tokens of the prompt that the engine found cached.
        foreseen: tokens that the scheduler expected to be cached.
        answer: tokens generated.
        tries: how many engines tried it.
        done: False if it was cancelled or failed.
        reason: why it was sent where and when it was.
    """

    id: str
    job: str
    stage: str
    prompt: int
    came: float
    sent: float = 0.0
    first: float = 0.0
    ended: float = 0.0
    engine: str = ""
    cached: int = 0
    foreseen: int = 0
    answer: int = 0
    tries: int = 0
    done: bool = False
    reason: str = ""


@dataclass(slots=True)
class JobRecord:
    """One program.

    Attributes:
        id: as in the workload.
        name: what it is a run of.
        tenant: on whose behalf it ran.
        arrived: when it began, on the scheduler's clock.
        ended: when its last step ended.
        calls: calls that ended, cancelled ones included.
        slo: seconds within which it should have finished, if it had such a wish.
        error: why it failed, if it did.
    """

    id: str
    name: str
    tenant: str
    arrived: float
    ended: float = 0.0
    calls: int = 0
    slo: float | None = None
    error: str = ""
