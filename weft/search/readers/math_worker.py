"""The process that compares formulas by math-verify: pairs come in, verdicts go out.

Nothing of weft is imported here: `math_process` runs this file by itself. A formula can take
computer algebra as long, and as much memory, as it likes; only a process can be ended then.
"""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from typing import Any

_MOST = 4 << 30
"""Bytes of memory that the process may have, where the system can bound it."""
_SECONDS = 3.0
"""How long one comparison may compute; then the formulas count as different."""


def _bound() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST, _MOST))
    except (ImportError, ValueError, OSError):
        pass


def main() -> None:
    """Answer lines of JSON until there are no more."""
    _bound()
    import logging

    import math_verify  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]

    logging.disable()
    library: Any = math_verify
    kinds = [library.LatexExtractionConfig(boxed_match_priority=-1), library.ExprExtractionConfig()]

    @lru_cache(maxsize=512)
    def parsed(formula: str) -> Any:
        return library.parse(f"${formula}$", kinds, parsing_timeout=None)

    def same(a: str, b: str) -> bool:
        try:
            left, right = parsed(a), parsed(b)
            if not left or not right:
                return False
            # It is not symmetric: `x = 5` is `5`, but not the other way round.
            both = (left, right), (right, left)
            return any(library.verify(*pair, timeout_seconds=None) for pair in both)
        except Exception:
            return False

    same("x", "1")  # loads what is loaded at first use
    print("ready", flush=True)
    for line in sys.stdin:
        a, b = json.loads(line)
        _end_after(_SECONDS)
        verdict = same(a, b)
        _end_after(0)
        print(json.dumps(verdict), flush=True)


def _end_after(seconds: float) -> None:
    """Have the system end this process when it has computed for so long; 0 is never.

    Its own time counts, not that of the clock: what takes too long must not depend on what else
    the machine does.
    """
    if sys.platform != "win32":
        import signal

        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    main()
