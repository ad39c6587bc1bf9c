"""Records of calls, as services write them."""

from __future__ import annotations

from typing import Any

from weft.service.programs.records import CallRecord, ProgramRecord

T = 1_700_000_000.0
"""When the calls came."""


def call(of: ProgramRecord, **fields: Any) -> CallRecord:
    """A call of a program that went well, but for the fields given."""
    made: dict[str, Any] = {"came": T, "sent": T + 0.25, "first": T + 0.5, "ended": T + 3.0}
    made |= {"engine": "gpu0", "status": 200, "outcome": "done", "attempts": 1}
    made |= {"placement_reason": "its home", "prompt": 100, "cached": 60, "generated": 7}
    made |= {"counted": True}
    return CallRecord("c1", of, "/v1/messages", "m", **(made | fields))
