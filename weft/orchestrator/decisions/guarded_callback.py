"""Callbacks of users that are told what happens, and whose errors are theirs alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from traceback import extract_tb, format_exception_only
from typing import ParamSpec

from weft.interrupts import is_interrupt

P = ParamSpec("P")
_log = logging.getLogger(__name__)


def guarded_callback(callback: Callable[P, object], what: str) -> Callable[P, None]:
    """The same callback, but what it raises is logged, once a line, and goes no further.

    Args:
        callback: is told of something.
        what: it is called where the user gave it.
    """
    logged: set[str] = set()

    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except BaseException as error:
            if is_interrupt(error):
                raise
            frame = extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename}:{frame.lineno}"
            if where not in logged:
                logged.add(where)
                said = format_exception_only(error)[-1].strip()
                _log.warning("`%s` failed, which changes nothing else: %s (%s)", what, said, where)

    return call
